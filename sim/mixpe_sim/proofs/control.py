# SPDX-License-Identifier: BSD-2-Clause
"""Control: credits count right, regions end where they say, and an abort always comes to its end."""

from migen import If, Signal

from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.regions import BytesCheck, Overlap, RegionCheck
from mixpe_gateware.control.supervisor import SETTLE_CYCLES, Supervisor
from mixpe_gateware.stream.credits import Credits
from mixpe_sim.proofs.claim import Claim

COUNT_BITS = 8


class CreditsCount(Claim):
    """No more places are taken than there are, and `room` and `whole` say how it stands."""

    def __init__(self, places):
        Claim.__init__(self)
        self.block = block = Credits(places)
        self.free |= {block.take, block.give}

        # # #

        out = Signal(COUNT_BITS)
        self.sync += out.eq(out + block.take - block.give)
        self.assume(~block.take | block.room, ~block.give | (out != 0))
        self.check(out <= places, block.room == (out != places), block.whole == (out == 0))
        self.comb += self.seen.eq(out == places)


class RegionsEnd(Claim):
    """A region that is found inside lies in the memory, whatever its start and size: no sum wraps.

    Its size has a bit less than the block could take; engines refuse larger ones before.

    Parameters
    ----------
    config : Config
    mem_bytes : int
        A power of two.
    """

    def __init__(self, config, mem_bytes):
        Claim.__init__(self)
        beats = mem_bytes//config.beat_bytes
        self.block = block = RegionCheck(config, mem_bytes, log2(beats))

        # # #

        start, size = self.symbol(len(block.start), "start"), self.symbol(len(block.size), "size")
        self.comb += block.start.eq(start), block.size.eq(size)
        self.assume(size[-1] == 0)
        end   = Signal(max(len(start), len(size)) + 1)  # exact
        known = self.count(1, 3)
        full  = Signal()
        self.sync += If(known >= 2, full.eq(1))
        self.comb += end.eq(start + size)
        self.check(~full | ~block.inside | (end <= beats))
        if config.inbox_bytes:
            behind = beats + config.inbox_bytes//config.beat_bytes
            self.check(~full | ~block.in_inbox | ((start >= beats) & (end <= behind)))
        self.comb += self.seen.eq(full & block.inside & (end == beats))


class BytesEnd(Claim):
    """A region in bytes is outside of the memory if and only if its exact end is.

    Parameters
    ----------
    mem_bytes, size_bits : int
    """

    def __init__(self, mem_bytes, size_bits):
        Claim.__init__(self)
        self.block = block = BytesCheck(mem_bytes, size_bits)

        # # #

        start, size = self.symbol(32, "start"), self.symbol(size_bits, "size")
        end, later  = Signal(34), Signal()
        self.sync += later.eq(1)
        self.comb += [
            block.start.eq(start),
            block.size.eq(size),
            end.eq(start + size),
            self.seen.eq(later & (end == mem_bytes) & ~block.outside),
        ]
        self.check(~later | (block.outside == (end > mem_bytes)))


class RegionsMeet(Claim):
    """Two regions overlap if and only if some beat is in both."""

    def __init__(self, bits):
        Claim.__init__(self)
        self.block = block = Overlap(bits)

        # # #

        names = ("start_a", "end_a", "start_b", "end_b")
        start_a, end_a, start_b, end_b = values = [self.symbol(bits, name) for name in names]
        beat = self.symbol(bits, "beat")
        self.comb += [getattr(block, name).eq(value) for name, value in zip(names, values, strict=True)]
        self.assume(start_a < end_a, start_b < end_b)
        in_both = (beat >= start_a) & (beat < end_a) & (beat >= start_b) & (beat < end_b)
        later   = Signal()
        apart   = (end_a <= start_b) | (end_b <= start_a)
        self.sync += later.eq(1)
        self.check(~later | ~in_both | block.overlap, ~later | ~block.overlap | ~apart)
        self.comb += self.seen.eq(later & in_both)


class AbortsEnd(Claim):
    """Every posted job ends once, and an abort ends as soon as the memory is quiet: no state is without a way out.

    `dead`, which only the reset of the SoC ends, is reached by the watchdog alone, and ends every job that comes.

    Parameters
    ----------
    watchdog_cycles : int
    """

    def __init__(self, watchdog_cycles=32):
        Claim.__init__(self)
        self.block = block = Supervisor(watchdog_cycles)
        post = Signal()
        self.free |= {block.reset, block.progress, block.quiet, block.sink.valid, post}

        # # #

        jobs = Signal(3)
        self.sync += jobs.eq(jobs + post - block.source.valid)
        self.comb += [
            block.busy.eq(jobs != 0),
            block.known.eq(jobs != 0),
        ]
        self.assume(~post | (jobs != 7), ~block.sink.valid | ((jobs != 0) & ~block.aborting))
        self.check(~block.source.valid | (jobs != 0))
        self.check(~block.sink.valid | (block.sink.ready & block.source.valid))  # no end is swallowed
        limit = SETTLE_CYCLES + 12
        calm  = Signal(max=limit + 1)  # cycles of an abort in which nothing hinders it
        self.sync += If(~block.aborting | block.dead | ~block.quiet | post | block.reset,
            calm.eq(0),
        ).Elif(calm != limit, calm.eq(calm + 1))
        self.check(calm != limit)
        idle = Signal(2)               # cycles of a dead device in which a job waits
        self.sync += If(block.dead & (jobs != 0) & ~block.source.valid, idle.eq(idle + 1)).Else(idle.eq(0))
        self.check(idle < 2)
        was = Signal()
        self.sync += If(block.aborting, was.eq(1))
        self.comb += self.seen.eq(was & ~block.aborting)
