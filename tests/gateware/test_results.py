# SPDX-License-Identifier: BSD-2-Clause
"""Results of whole jobs from vectors of group sums: partials and fused, A8 and A16, to the byte."""

from collections import deque

import numpy as np
import pytest
from migen import passive

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, Config
from mixpe_gateware.contract.jobs import Job, group_code
from mixpe_gateware.contract.layout import tile_results
from mixpe_gateware.contract.reference import dequantise
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, Form, Scaling
from mixpe_gateware.contract.wide import join
from mixpe_gateware.contract.widths import GROUP_SUM_BITS
from mixpe_gateware.gemm.results import FIELDS, ResultSequencer
from mixpe_gateware.gemm.weights import ScaleMemory

CONFIGS = [
    ({"rows": 1, "port_bits": 32, "scalers": 1, "queue_depth": 2}, 0.3),
    ({"rows": 2, "port_bits": 16, "scalers": 1, "queue_depth": 2}, 0.0),
    ({"rows": 4, "port_bits": 64, "scalers": 2}, 0.3),
    ({"rows": 8, "port_bits": 128, "scalers": 2}, 0.6),
    ({"rows": 4, "port_bits": 32, "scalers": 1, "fused": False}, 0.3),
    ({"rows": 2, "port_bits": 16, "scalers": 1, "queue_depth": 2, "minima": True}, 0.3),
    ({"rows": 4, "port_bits": 64, "scalers": 4, "minima": True}, 0.0),
]
# groups, n, rows as a multiple of R and what is over, and modes: Fused, Wide, Shift, Planes, with real Minima, of Two
# levels. One takes both buffers.
SHAPES = [(1, 1, (0, 1), ""), (2, 9, (1, 0), ""), (3, 8, (2, -1), "F"), (1, 10, (1, 0), "FS"), (2, 3, (1, 0), "FWS"),
    (2, 2, (2, 0), "P"), (4, 1, (1, 1), "FP"), (8, 1, (3, 0), "F"), (2, 9, (2, 0), "FW"), (1, 1, (1, 0), "F")]
REAL   = [(1, 9, (1, 0), "FM"), (8, 2, (1, 0), "FTS"), (3, 1, (1, 0), "FMPS"), (8, 1, (1, 0), "FTWSP"),
    (8, 1, (1, 0), "T")]


def make_job(config, groups, n, tiles, over, modes):
    m = tiles*config.rows + over or 1
    return Job(weights_addr=0, act_addr=0, out_addr=0, out_bytes=0, n=n, k=32*groups, m=m, group=group_code(32, 0),
        fused="F" in modes, wide="W" in modes, shift="S" in modes, planes="P" in modes,
        form=Form.TWO_LEVEL if "T" in modes else Form.MINIMUM if "M" in modes else Form.ZERO)


@pytest.mark.parametrize("options, stall", CONFIGS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value))
def test_results_of_jobs(options, stall, ticket, feed, collect, seeded, simulate):
    """Vectors of padded channels are thrown away; what a job used is set free once a block and once a job."""
    config = Config(**{"k_max": 512, "buffer_beats": 64, **options})
    rng    = seeded(config.rows)
    rows, slots = config.rows, config.rows//config.scalers
    shapes = SHAPES + (REAL if config.minima else [])
    jobs   = [make_job(config, groups, n, tiles, over, modes) for groups, n, (tiles, over), modes in shapes
        if (config.fused or "F" not in modes) and (rows > 1 or "W" not in modes)]
    tickets, vectors, expected, lookup, scale_blocks = [], [], [], [], []
    act_half = 0
    for index, job in enumerate(jobs):
        if index % 3 == 1:
            tickets.append({name: int(rng.integers(1 << 16)) for name in ticket(job, config, FIELDS)} | {"skip": 1})
            expected.append((None, 1))
        groups, passes = job.groups, job.passes
        blocks   = -(-job.n//CHANNELS_PER_BLOCK)
        channels = blocks*CHANNELS_PER_BLOCK
        tiles    = job.tiles(config)
        edge     = 15*128*32
        partial  = rng.integers(-edge, edge + 1, (tiles*rows, channels, passes*groups))
        sums     = rng.integers(-128*32, 128*32, (tiles*rows, groups))
        shifts   = rng.integers(0, 16, (tiles*rows, groups))
        shifts[1::2] = shifts[::2] if job.wide else shifts[1::2]
        entries  = passes*groups//(SUPERBLOCK_GROUPS if job.form == Form.TWO_LEVEL else 1)
        scales, minima = rng.integers(0, 31 << 10, (2, channels, entries)) | rng.integers(0, 2, (2, channels, 1)) << 15
        zeros    = rng.integers(0, 16, (channels, passes*groups)).astype(np.uint8)
        factors  = rng.integers(0, 64, (channels, passes*groups, 2)).astype(np.uint8)
        if index == 0:
            partial[:] = -(15*128*16384)  # the largest there is
        for channel in range(channels):
            for tile in range(tiles):
                part = partial[tile*rows:(tile + 1)*rows, channel]
                vectors += [sum(int(value) % (1 << GROUP_SUM_BITS) << GROUP_SUM_BITS*row
                    for row, value in enumerate(part[:, group])) for group in range(passes*groups)]

        # Results, to the byte.
        part, m = partial[:job.m, :job.n], job.m
        if job.fused:
            xs, hs = np.tile(sums[:m], (1, passes)), np.tile(shifts[:m], (1, passes)) if job.shift else None
            if job.wide:
                part, xs, hs = join(part), join(xs), None if hs is None else hs[::2]
            halves = [array[:job.n].astype(np.uint16).view(np.float16) for array in (scales, minima)]
            beside = {"zeros": zeros[:job.n]} if job.form == Form.ZERO else {"minima": halves[1],
                "factors": factors[:job.n] if job.form == Form.TWO_LEVEL else None}
            words = dequantise(part, xs, Scaling(halves[0], **beside), hs).T
        else:
            words = tile_results(part.astype(np.int32), config)
        raw  = np.ascontiguousarray(words).tobytes()
        raw += bytes(job.result_bytes(config) - len(raw))
        expected += [(int.from_bytes(raw[place:place + config.beat_bytes], "little"), 0)
            for place in range(0, len(raw), config.beat_bytes)] + [(None, 1)]

        fields = ticket(job, config, FIELDS)
        # What the scalers look up, by buffer and entry.
        found = {}
        for tile in range(tiles):
            for group in range(groups):
                for slot in range(slots):
                    here = slice(tile*rows + slot*config.scalers, tile*rows + (slot + 1)*config.scalers)
                    found[act_half, (tile*groups + group)*slots + slot] = (sums[here, group], shifts[here, group])
        lookup.append(found)
        # By entry: scale and superblock's minimum, zero point and what stands in its place.
        fine = factors[:, :, 0] | factors[:, :, 1].astype(int) << 8 if job.form == Form.TWO_LEVEL else minima
        tables = scales, minima, zeros, fine if job.form else zeros
        scale_blocks += zip(*(array.reshape(blocks, -1) for array in tables), strict=True)
        act_half ^= 1 - fields["double"]
        tickets.append(fields)

    dut, out = ResultSequencer(config, 16), []
    freed = {"blocks": 0, "jobs": []}

    def row_entry():
        """Row sums and shifts where the look-up points to, of the oldest job whose activations are not set free."""
        place = ((yield dut.lookup.sum_buffer), (yield dut.lookup.sum_address))
        return lookup[len(freed["jobs"])].get(place) if len(freed["jobs"]) < len(lookup) else None

    def scale_entry():
        """What `scale_blocks` has of the oldest block that is not set free."""
        buffer, entry = (yield dut.lookup.scale_buffer), (yield dut.lookup.scale_address)
        coarse = (yield dut.lookup.coarse_address) if config.minima else entry
        known  = freed["blocks"] < len(scale_blocks) and buffer == freed["blocks"] & 1
        scales, minima, zeros, fine = scale_blocks[freed["blocks"]] if known else ((), (), (), ())
        if entry >= len(zeros) or coarse >= len(scales):
            return None
        return scales[coarse], minima[coarse] if coarse < len(minima) else 0, zeros[entry], fine[entry]

    @passive
    def watch():
        """Answers of the memories, and strobes. A look-up that points to nothing gets noise."""
        scales_due = deque([(0, 0, 0, 0)]*(ScaleMemory.READ_LATENCY - 1))
        while True:
            yield
            if config.fused:
                sums, shifts = (yield from row_entry()) or rng.integers(0, 16, (2, config.scalers))
                scales_due.append((yield from scale_entry()) or rng.integers(0, 16, 4))
                scale, coarse, zero, fine = scales_due.popleft()
                for index in range(config.scalers):
                    yield dut.lookup.row_sums[index].eq(int(sums[index]))
                    yield dut.lookup.shifts[index].eq(int(shifts[index]))
                yield dut.lookup.scale.eq(int(scale))
                yield dut.lookup.zero.eq(int(zero))
                if config.minima:
                    yield dut.lookup.coarse.eq(int(coarse))
                    yield dut.lookup.fine.eq(int(fine))
            freed["blocks"] += (yield dut.block_done)
            if (yield dut.release):
                freed["jobs"].append((yield dut.release_both))

    simulate(dut, feed(dut.sink, tickets, np.random.default_rng(1), stall),
        feed(dut.vectors, [{"sums": vector} for vector in vectors], np.random.default_rng(2), stall),
        collect(dut.source, ["data", "end"], len(expected), out, np.random.default_rng(3), stall), watch(),
        limit_cycles=60_000)
    got   = [(None if end else data, end) for data, end in out]
    wrong = [place for place, (found, right) in enumerate(zip(got, expected, strict=True)) if found != right]
    assert not wrong, f"{len(wrong)} of {len(got)} beats, the first is {wrong[0]}: {got[wrong[0]]}"
    assert freed["blocks"] == sum(-(-job.n//CHANNELS_PER_BLOCK) for job in jobs)
    doubles = [fields["double"] for fields in tickets if not fields["skip"]]
    assert freed["jobs"] == doubles and (not config.fused or sum(doubles) == 1)
