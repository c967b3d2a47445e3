# SPDX-License-Identifier: BSD-2-Clause
"""Job checker against the contract: the code of every descriptor, and each field of the tickets of those that pass."""

from dataclasses import replace

import pytest
from migen import passive

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import FORM, INDEX
from mixpe_gateware.contract.jobs import Job, JobCode, check_job
from mixpe_gateware.contract.scaling import Form
from mixpe_gateware.gemm.checker import JobChecker
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_sim.harness.cases import random_job

MEM_BYTES = 1 << 16
LATENCY   = 250  # cycles a job at most, of which the docstring says about 150
CONFIGS = [
    ({"rows": 1, "port_bits": 16, "scalers": 1, "queue_depth": 2}, 0.0),
    ({"rows": 4, "port_bits": 32, "scalers": 1, "fused": False}, 0.5),
    ({"rows": 8, "port_bits": 64, "memory_bits": 16, "scalers": 2, "inbox_bytes": 1 << 12}, 0.8),
    ({"rows": 4, "port_bits": 128, "scalers": 2}, 0.3),
    ({"rows": 2, "port_bits": 16, "scalers": 1, "minima": True}, 0.0),
    ({"rows": 4, "port_bits": 128, "scalers": 2, "minima": True}, 0.3),
]


def edge_jobs(rng, config):
    """Good jobs at the edges of what passes, and each with one thing wrong."""
    region = (0, MEM_BYTES//2)
    most   = config.k_max//32*config.rows
    yield random_job(rng, config, MEM_BYTES, region, k=config.k_max, group=7, planes=False, fused=False, wide=False,
        shift=False, form=Form.ZERO)
    yield random_job(rng, config, MEM_BYTES, region, k=32, m=most, n=1, group=0, planes=False, fused=False, wide=False,
        shift=False)
    good = random_job(rng, config, MEM_BYTES, region, k=64, m=2, n=9, group=0, planes=False, fused=False, wide=False,
        shift=False, form=Form.ZERO)
    beat, size = config.beat_bytes, good.result_bytes(config)
    yield replace(good, out_bytes=size)
    yield replace(good, out_bytes=size - beat)
    yield replace(good, out_addr=MEM_BYTES - size)
    yield replace(good, out_addr=MEM_BYTES - size + beat)
    for name, length in (("weights_addr", good.weight_bytes(config)), ("act_addr", good.act_bytes(config))):
        start = getattr(good, name)
        yield replace(good, out_addr=start + length)           # side by side
        yield replace(good, out_addr=start + length - beat)    # one beat of both
        yield replace(good, **{name: good.out_addr + size})
        yield replace(good, **{name: good.out_addr + size - beat})
        yield replace(good, **{name: MEM_BYTES - length})
        yield replace(good, **{name: MEM_BYTES - length + beat})
        yield replace(good, **{name: start + 1})
        yield replace(good, **{name: (1 << 32) - beat})
    yield replace(good, act_addr=MEM_BYTES)                    # the inbox's first byte, if there is one
    yield replace(good, act_addr=MEM_BYTES + config.inbox_bytes - good.act_bytes(config))
    for change in ({"n": 0}, {"k": 0}, {"m": 0}, {"n": 65536}, {"n": 65537}, {"k": config.k_max + 32}, {"k": 48},
            {"k": 16}, {"m": config.k_max + 1}, {"m": 2*most + 1}, {"m": (1 << 32) - 1}, {"group": 4}, {"group": 3},
            {"fused": True}, {"wide": True}, {"shift": True}, {"fused": True, "wide": True},
            {"fused": True, "wide": True, "m": 3}, {"opcode": 0}, {"opcode": 255}, {"fence": True},
            {"planes": True, "k": config.k_max}):
        yield replace(good, **change)
    for change in ({}, {"k": 256}, {"k": 256, "fused": True}, {"k": 256, "group": 1}, {"k": 256, "group": 7},
            {"k": 288}, {"k": config.k_max, "m": 1}, {"k": config.k_max, "m": 1, "planes": True}):
        for form in range(4):
            yield replace(good, n=1, form=form, **change)


def mutated_jobs(rng, config, count):
    """Random good jobs, most with one random word."""
    for _ in range(count):
        job = random_job(rng, config, MEM_BYTES, (0, MEM_BYTES))
        name = rng.choice(["weights_addr", "act_addr", "out_addr", "n", "k", "m", "out_bytes", "tag"])
        value = rng.choice([rng.integers(1 << 32), rng.integers(MEM_BYTES), rng.integers(600), getattr(job, name) + 32])
        yield replace(job, **{name: int(value)})


@pytest.mark.parametrize("options, stall", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_codes_and_tickets(options, stall, ticket, seeded, simulate):
    """Descriptors at the edges, mutated ones, and words with bits that no field has."""
    config = Config(**{"k_max": 512, "buffer_beats": 128, **options})
    rng    = seeded(config.port_bits)
    jobs   = [*edge_jobs(rng, config), *mutated_jobs(rng, config, 40)]
    words  = [job.words() for job in jobs]
    codes  = [check_job(job, config, MEM_BYTES) for job in jobs]
    for name, bit in (("flags", FORM.msb + 1), ("flags", 31), ("op", 9), ("op", 31)):
        raw = jobs[2].words()
        raw[INDEX[name]] |= 1 << bit
        assert Job.from_words(raw) is None
        words.append(raw)
        codes.append(JobCode.UNSUPPORTED)
        jobs.append(jobs[2])
    address_bits = (MEM_BYTES//config.beat_bytes - 1).bit_length()
    dut   = JobChecker(config, MEM_BYTES, address_bits)
    names = [name for name, _ in ticket_layout(config, address_bits) if name not in ("code", "skip", "start")]
    given, wrong, cycle = [0], [], [0]

    @passive
    def tick():
        while True:
            cycle[0] += 1
            yield dut.now.eq(cycle[0])
            yield

    @passive
    def queue():
        """The oldest descriptor word by word, one cycle late; `valid` falls for a cycle after each."""
        index, valid, popped = 0, False, False
        while True:
            number = given[0]
            valid  = not popped and number < len(words) and (valid or rng.random() >= stall)
            yield dut.valid.eq(int(valid))
            yield dut.value.eq(words[number][index] if number < len(words) and index < len(words[number]) else 0)
            yield
            index  = (yield dut.index)
            popped = (yield dut.pop)
            given[0] += popped

    def take():
        for number, (job, code) in enumerate(zip(jobs, codes, strict=True)):
            began = cycle[0]
            while True:
                ready = rng.random() >= stall
                yield dut.source.ready.eq(int(ready))
                yield
                if ready and (yield dut.source.valid):
                    break
            start = (yield dut.source.start)
            if (yield dut.source.code) != code or (yield dut.source.skip) != (code != JobCode.OK):
                wrong.append((number, job, code.name, (yield dut.source.code)))
            elif code == JobCode.OK:
                for name, expected in ticket(job, config, names).items():
                    if (yield getattr(dut.source, name)) != expected:
                        wrong.append((number, job, name, (yield getattr(dut.source, name)), expected))
            if not stall and not began - 3 <= start <= cycle[0] or cycle[0] - start > LATENCY + 20/(1 - stall):
                wrong.append((number, "time", began, start, cycle[0]))
            assert given[0] in (number, number + 1)  # it is popped in the cycle in which its ticket is taken
        yield dut.source.ready.eq(0)
        yield

    simulate(dut, tick(), queue(), take(), limit_cycles=60_000)
    assert not wrong, f"{len(wrong)} of {len(jobs)}, the first: {wrong[0]}"
    assert given == [len(jobs)]
    assert len(set(codes)) >= 8, set(codes)
