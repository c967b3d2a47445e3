# SPDX-License-Identifier: BSD-2-Clause
"""Checks of memory regions, the same for every engine: where one ends, whether it lies in memory, what it overlaps.

Sizes and addresses are in beats, those of `BytesCheck` in bytes. Nothing outside a job's buffers is ever read or
written: an engine begins only when all its regions passed.
"""

from litex.gen import LiteXModule
from migen import Signal

from mixpe_gateware.contract.widths import log2


class RegionCheck(LiteXModule):
    """Whether start … start + size lies in the memory, or in the inbox behind it.

    Latency 2 cycles from `start` and `size` to `inside` and `in_inbox`, 1 cycle to `end`.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    address_bits : int
        Width of a beat address in the memory.

    Attributes
    ----------
    start : Signal(address_bits + inbox_bits), in
    size, end : Signal(address_bits + 2), in and out
    inside, in_inbox : Signal(), out
    """

    def __init__(self, config, mem_bytes, address_bits):
        self.start    = Signal(address_bits + config.inbox_bits)
        self.size     = Signal(address_bits + 2)
        self.end      = Signal(address_bits + 2)
        self.inside   = Signal()
        self.in_inbox = Signal()

        # # #

        beat_log2 = log2(config.beat_bytes)
        mem_beats = mem_bytes >> beat_log2
        self.sync += [
            self.end.eq(self.start + self.size),
            self.inside.eq(self.end <= mem_beats),
        ]
        if config.inbox_bytes:
            behind = mem_beats + (config.inbox_bytes >> beat_log2)
            self.sync += self.in_inbox.eq((self.start >= mem_beats) & (self.end <= behind))


class BytesCheck(LiteXModule):
    """Whether start … start + size lies in the memory, in bytes: for records whose addresses have 32 bits.

    Latency 1 cycle.

    Parameters
    ----------
    mem_bytes : int
    size_bits : int

    Attributes
    ----------
    start : Signal(32), size : Signal(size_bits), in
    outside : Signal(), out
    """

    def __init__(self, mem_bytes, size_bits):
        self.start   = Signal(32)
        self.size    = Signal(size_bits)
        self.outside = Signal()

        # # #

        mem_bits = log2(mem_bytes - 1) + 1
        end      = Signal(max(mem_bits, size_bits) + 1)
        behind   = Signal()  # the start alone is behind the memory
        self.sync += [
            end.eq(self.start[:mem_bits] + self.size),
            behind.eq(self.start[mem_bits:] != 0),
        ]
        self.comb += self.outside.eq(behind | (end > mem_bytes))


class Overlap(LiteXModule):
    """Whether two regions share a beat; latency 1 cycle.

    Attributes
    ----------
    start_a, end_a, start_b, end_b : Signal(bits), in
    overlap : Signal(), out
    """

    def __init__(self, bits):
        self.start_a, self.end_a, self.start_b, self.end_b = (Signal(bits) for _ in range(4))
        self.overlap = Signal()

        # # #

        self.sync += self.overlap.eq((self.start_a < self.end_b) & (self.start_b < self.end_a))
