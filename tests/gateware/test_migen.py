# SPDX-License-Identifier: BSD-2-Clause
"""The whole accelerator in the Migen simulator: the same bytes as the reference, so the same as in Verilator."""

import numpy as np
from migen import run_simulation

from mixpe.reference.execute import Executor
from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.jobs import Job, JobCode
from mixpe_sim.harness.cases import fill_operands
from mixpe_sim.ports import PortMemory

MEM_BYTES    = 1 << 14
LIMIT_CYCLES = 5000
CONFIG = Config(rows=2, port_bits=32, k_max=512, buffer_beats=64, queue_depth=2, scalers=1)


def test_partials_and_fused_jobs_with_stalls():
    memory = PortMemory(CONFIG.port_bits, MEM_BYTES, seed=1, stall=0.3)
    dut = Accelerator(CONFIG, MEM_BYTES, [memory.get_port("read")], memory.get_port("read"), memory.get_port("write"),
        chunk_beats=16)
    rng = np.random.default_rng(0)
    shape = {"k": 64, "group": 0, "out_bytes": 512}
    jobs = [
        Job(weights_addr=0, act_addr=1024, out_addr=2048, n=2, m=1, tag=11, **shape),
        Job(weights_addr=4096, act_addr=5120, out_addr=6144, n=1, m=4, fused=True, wide=True, shift=True, tag=12,
            **shape),
    ]
    for job in jobs:
        fill_operands(rng, memory.bytes, job, CONFIG, extreme=job.fused)
    expected = memory.bytes.copy()
    executor, ended = Executor(CONFIG, expected), []
    for job in jobs:
        assert executor.run(job) == JobCode.OK

    def host():
        for job in jobs:
            while not (yield dut.ready):
                yield
            for index, word in enumerate(job.words()):
                yield dut.word.eq(index)
                yield dut.data.eq(word)
                yield dut.write.eq(1)
                yield
            yield dut.write.eq(0)
        yield dut.source.ready.eq(1)
        for _ in range(LIMIT_CYCLES):
            yield
            if (yield dut.source.valid):
                ended.append(((yield dut.source.tag), (yield dut.source.code)))
                if len(ended) == len(jobs):
                    return
        raise AssertionError(f"only {ended} after {LIMIT_CYCLES} cycles")

    run_simulation(dut, [host(), *memory.generators()], clocks={"sys": 10, "mixpe": 10})
    assert ended == [(11, JobCode.OK), (12, JobCode.OK)]
    wrong = np.flatnonzero(memory.bytes != expected)
    assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}"
