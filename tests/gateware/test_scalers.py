# SPDX-License-Identifier: BSD-2-Clause
"""Scale-accumulate units and their way to FP32 against the contract's reference, under back-pressure."""

from collections import deque

import numpy as np
import pytest
from migen import Signal, passive

from mixpe_gateware.contract.config import K_LIMIT, Config
from mixpe_gateware.contract.reference import accumulate
from mixpe_gateware.contract.wide import join
from mixpe_gateware.contract.widths import SHIFT_MAX
from mixpe_gateware.gemm.scalers import Scalers
from mixpe_gateware.stream.fanout import delayed

SCALES = np.array([0x7BFF, 0xFBFF, 0x7801, 0x0001, 0x8001, 0x8000, 0x0000, 0x3C01, 0xBC00], np.uint16).view(np.float16)
CONFIGS = [(1, 1, 2), (2, 1, 4), (4, 2, 2), (8, 2, 4), (4, 4, 4)]  # rows, scalers, queue_depth


def extreme(kind, rows, groups):
    """Sums at the ends of their ranges: all of a channel's k in one group, whose total is the largest there is."""
    partial, sums = np.zeros((rows, 1, groups), np.int64), np.zeros((rows, groups), np.int64)
    if kind & 1:
        partial[:, 0, -1] = 15*K_LIMIT*(-128 if kind & 2 else 127)
    else:
        sums[:, -1] = K_LIMIT*(-128 if kind & 2 else 127)
    scales = np.full((1, groups), SCALES[kind >> 2 & 1])
    return partial, sums, scales, np.full((1, groups), 15, np.uint8), np.full((rows, groups), SHIFT_MAX - 29)


def ordinary(rng, rows, groups, wide):
    partial = rng.integers(-(1 << 20), 1 << 20, (rows, 1, groups))
    sums    = rng.integers(-(1 << 16), 1 << 16, (rows, groups))
    shifts  = rng.integers(0, 16, (rows, groups))
    if wide:
        shifts[1::2] = shifts[::2]  # the two rows of a token
    return partial, sums, rng.choice(SCALES, (1, groups)), rng.integers(0, 16, (1, groups)).astype(np.uint8), shifts


def results(partial, sums, scales, zeros, shifts, wide):
    """FP32 words in the order in which they leave."""
    if wide:
        partial, sums, shifts = join(partial), join(sums), shifts[::2]
    return accumulate(partial, sums, scales, zeros, shifts)[:, 0].view(np.uint32).tolist()


@pytest.mark.parametrize("rows, scalers, queue_depth", CONFIGS)
@pytest.mark.parametrize("stall, distance", [(0, 1), (0.3, 4), (0.8, 6)])
def test_channels_of_tiles(rows, scalers, queue_depth, stall, distance, seeded, collect, simulate):
    """Whole and partial tiles of A8 and A16, a group sum a cycle; it arrives `distance` cycles after it was issued."""
    config = Config(rows=rows, scalers=scalers, queue_depth=queue_depth, port_bits=32, k_max=512)
    rng, dut = seeded(rows + scalers), Scalers(config)
    cases = [(extreme(kind, rows, 1 + kind % 3), False) for kind in range(8)]
    if rows > 1:
        cases += [(extreme(kind, rows, 2), True) for kind in range(4)]
    for index in range(12):
        wide  = rows > 1 and index % 2 == 1
        exist = rows if index % 4 < 2 else int(rng.integers(1, rows + 1))
        exist += exist % 2 if wide else 0
        cases.append((ordinary(rng, exist, int(rng.integers(1, 7)), wide), wide))
    expected = [word for case, wide in cases for word in results(*case, wide)]

    want, out = Signal(), []
    issued    = [0]  # results whose last group was issued
    dut.comb += dut.issue_last.eq(want & dut.credit)
    arriving  = deque([None]*distance)

    def cycle(group=None, last=False):
        """Issue a group, if it is allowed; drive what was issued `distance` cycles ago, or noise."""
        yield want.eq(int(group is not None and last))
        arrived = arriving.popleft()
        fields = {} if arrived is None else arrived
        for name in ("first", "last", "slot", "zero", "scale", "rows", "wide"):
            yield getattr(dut, name).eq(int(fields.get(name, rng.integers(1 << 16))))
        for name in ("partials", "row_sums", "shifts"):
            for place, signal in enumerate(getattr(dut, name)):
                values = fields.get(name, ())
                yield signal.eq(int(values[place] if place < len(values) else rng.integers(-(1 << 20), 1 << 20)))
        yield dut.valid.eq(int(arrived is not None))
        yield
        taken = group is not None and (not last or (yield dut.issue_last))
        arriving.append(group if taken else None)
        return taken

    def drive():
        for (partial, sums, scales, zeros, shifts), wide in cases:
            exist, groups = sums.shape
            for group in range(groups):
                for slot in range(-(-exist//scalers)):
                    while rng.random() < stall/2:
                        yield from cycle()
                    here = slice(slot*scalers, min(exist, (slot + 1)*scalers))
                    last = group == groups - 1
                    item = {"first": group == 0, "last": last, "slot": slot, "zero": zeros[0, group],
                        "scale": scales[0, group:group + 1].view(np.uint16)[0], "rows": here.stop - here.start,
                        "wide": wide, "partials": partial[here, 0, group], "row_sums": sums[here, group],
                        "shifts": shifts[here, group]}
                    while not (yield from cycle(item, last)):
                        pass
                    if last and not wide:
                        issued[0] += here.stop - here.start
                    elif last:  # a result a pair, which ends with its second row
                        issued[0] += (here.stop - here.start)//2 if scalers > 1 else slot & 1
        while len(out) < len(expected):
            yield from cycle()
        for _ in range(distance + 2):
            yield from cycle()
        assert (yield dut.empty)

    early = []

    @passive
    def watch():
        while True:
            before = issued[0]
            yield
            if (yield dut.empty) and before > len(out):
                early.append(len(out))

    simulate(dut, drive(), collect(dut.source, ["data"], len(expected), out, np.random.default_rng(1), stall), watch(),
        limit_cycles=100_000)
    assert [word for word, in out] == expected
    assert not early, f"said to be empty with results on their way, first after {early[0]} of {len(expected)}"


def test_a_result_a_cycle(collect, seeded, simulate):
    """Channels of one group, issued whenever it is allowed: once results come, one leaves in every cycle."""
    config = Config(rows=4, scalers=4, port_bits=32, k_max=512)
    dut, out, cycles = Scalers(config), [], []
    dut.comb += [
        dut.issue_last.eq(dut.credit),
        dut.valid.eq(delayed(dut, dut.issue_last, 1)),
        dut.first.eq(1),
        dut.last.eq(1),
        dut.rows.eq(4),
    ]

    @passive
    def watch():
        cycle = 0
        while True:
            yield
            cycle += 1
            if (yield dut.source.valid):
                cycles.append(cycle)

    simulate(dut, collect(dut.source, ["data"], 100, out, seeded(0), 0), watch())
    assert cycles == list(range(cycles[0], cycles[0] + len(cycles))) and len(cycles) >= 100
