# SPDX-License-Identifier: BSD-2-Clause
"""Weight stream: every weight, scale and zero point of packed jobs, while blocks are used and set free at random."""

from collections import deque

import numpy as np
import pytest
from migen import Signal, passive

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, Config
from mixpe_gateware.contract.layout import (
    FACTORS,
    MINIMA,
    SCALES,
    ZEROS,
    block_beats,
    section_entries,
    unpack_nibbles,
)
from mixpe_gateware.contract.scaling import Form
from mixpe_gateware.gemm.weights import FIELDS, ScaleMemory, WeightBuffer, WeightStream
from mixpe_sim.harness.cases import fill_operands, random_job
from mixpe_sim.ports import PortMemory

MEM_BYTES = 1 << 16
MEMORIES  = {SCALES: "scales", ZEROS: "zeros", MINIMA: "fine", FACTORS: "fine"}  # but for minima of superblocks
CONFIGS = [
    ({"port_bits": 16, "queue_depth": 2}, 0.0),
    ({"port_bits": 32, "read_ports": 2}, 0.3),
    ({"port_bits": 64, "memory_bits": 16}, 0.0),
    ({"port_bits": 128, "read_ports": 4}, 0.6),
    ({"port_bits": 128, "memory_bits": 32, "queue_depth": 2}, 0.3),
    ({"port_bits": 16, "minima": True}, 0.3),
    ({"port_bits": 128, "read_ports": 2, "minima": True}, 0.3),
]


@pytest.mark.parametrize("options, stall", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_streams_of_jobs(options, stall, ticket, feed, seeded, simulate):
    """Jobs of one block and of several, of one group a channel and of the most, with skipped ones between them.

    A block's scales and zeros are read just before it is set free, when the block behind it has long been stored.
    """
    config = Config(**{"rows": 2, "scalers": 1, "k_max": 512, "buffer_beats": 64, **options})
    rng    = seeded(config.port_bits)
    memory = PortMemory(config.memory_bits, MEM_BYTES, seed=1, stall=stall)
    memory.bytes[:] = rng.integers(0, 256, MEM_BYTES)
    shapes = [{"k": 32, "n": 1, "group": 7}, {"k": 32, "n": 17, "group": 0}, {"k": 512, "n": 3, "group": 0},
        {"k": 64, "n": 8, "group": 1, "planes": True}, {"k": 96, "n": 9, "group": 0}]
    if config.minima:
        forms = [(256, 9, Form.TWO_LEVEL, 1), (96, 9, Form.ZERO, 1), (512, 3, Form.MINIMUM, 1),
            (512, 1, Form.TWO_LEVEL, 1), (256, 8, Form.TWO_LEVEL, 2), (64, 8, Form.MINIMUM, 2)]
        shapes = [{"k": k, "n": n, "group": 0, "form": form, "planes": passes == 2} for k, n, form, passes in forms]
    size = MEM_BYTES//len(shapes)//config.beat_bytes*config.beat_bytes
    jobs, tickets = [], []
    for index, shape in enumerate(shapes):
        job = random_job(rng, config, MEM_BYTES, (index*size, size), **{"m": 1, "planes": False, **shape})
        fill_operands(rng, memory.bytes, job, config, extreme=index == 0)
        jobs.append(job)
        tickets.append(ticket(job, config, FIELDS))
        if index % 2:
            tickets.append({name: int(rng.integers(1 << 16)) for name in tickets[-1]} | {"skip": 1})

    dut = WeightStream(config, [memory.get_port("read") for _ in range(config.read_ports)], chunk_beats=16)
    # What the memory holds, section by section of each block.
    weights, blocks = [], []
    for job in jobs:
        sections = block_beats(job.passes*job.k, job.passes*job.groups, config, job.form)
        counts   = section_entries(job.passes*job.k, job.passes*job.groups, job.form)
        parts    = list(sections.values())
        stream   = memory.bytes[job.weights_addr:job.weights_addr + job.weight_bytes(config)].reshape(
            -1, sum(parts), config.beat_bytes)
        for block in stream:
            found = {}
            for section, beats in zip(sections, np.split(block, np.cumsum(parts)[:-1]), strict=True):
                values = unpack_nibbles(beats.reshape(-1)) if section == ZEROS else beats.reshape(-1).view(np.uint16)
                name   = "coarse" if (section, job.form) == (MINIMA, Form.TWO_LEVEL) else MEMORIES.get(section)
                if name is not None:
                    found[name] = values[:CHANNELS_PER_BLOCK*counts[section]]
            blocks.append(found)
            weights += [int.from_bytes(beat.tobytes(), "little") for beat in beats]
    got, wrong, counted, early = [], [], [0], []

    want = Signal()
    dut.comb += dut.buffer.take.eq(want & dut.buffer.available), dut.buffer.release.eq(1)

    def take():
        """All beats of the buffer, each set free at once."""
        taken = deque([False]*WeightBuffer.READ_LATENCY)
        while len(got) < len(weights):
            yield want.eq(int(rng.random() >= stall))
            yield
            taken.append((yield dut.buffer.take))
            if taken.popleft():
                got.append((yield dut.buffer.data))

    def scale():
        pauses = np.random.default_rng(2)
        for number, expected in enumerate(blocks):
            while not (yield dut.blocks_ready):
                yield
            for _ in range(int(pauses.integers(400))):  # longer than a block takes to arrive
                yield
            for name, values in expected.items():
                memory, count = getattr(dut, name), len(values)
                for place in sorted({0, 1, count//2, count - 1, *map(int, pauses.integers(0, count, 3))}):
                    yield memory.buffer.eq(number & 1)
                    yield memory.entry.eq(place)
                    for _ in range(ScaleMemory.READ_LATENCY + 1):
                        yield
                    if (yield memory.value) != values[place]:
                        wrong.append((number, name, place, (yield memory.value)))
            yield dut.block_done.eq(1)
            yield
            yield dut.block_done.eq(0)
            yield

    @passive
    def watch():
        while True:
            yield
            counted[0] += (yield dut.beat)
            if (yield dut.blocks_ready) > 2:
                early.append(counted[0])

    simulate(dut, feed(dut.sink, tickets, np.random.default_rng(3), stall), take(), scale(), watch(),
        *memory.generators(), limit_cycles=60_000)
    assert got == weights
    assert not wrong, f"{len(wrong)}, the first: block, memory, entry, value = {wrong[0]}"
    assert counted == [sum(job.weight_bytes(config) for job in jobs)//config.beat_bytes]
    assert not early, "more than two blocks are stored"
