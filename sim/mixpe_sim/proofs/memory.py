# SPDX-License-Identifier: BSD-2-Clause
"""Reads and writes of a memory that answers when it likes: the right words, within bounds, an end when all is written.

The memory's words are their own addresses, so an answer says what was asked.
"""

from litedram.common import LiteDRAMNativePort
from litex.soc.interconnect import stream
from migen import If, Signal

from mixpe_gateware.stream.bounded import BoundedWriter
from mixpe_gateware.stream.reader import RegionReader
from mixpe_gateware.stream.share import ReadShare
from mixpe_gateware.stream.writer import ResultWriter
from mixpe_sim.proofs.claim import Claim

COUNT_BITS = 6


class MemoryClaim(Claim):
    """Base: a memory that takes commands and answers in order, each when it likes."""

    def read_port(self, port, places):
        """A memory behind a port; at most `places` commands wait for their answers.

        Returns
        -------
        Signal()
            The memory takes and answers whatever it can in this cycle.
        """
        waiting = stream.SyncFIFO([("data", port.data_width)], places)
        self.submodules += waiting
        ready, answer = Signal(), Signal()
        self.free |= {ready, answer}
        self.comb += [
            port.cmd.ready.eq(ready & waiting.sink.ready),
            waiting.sink.valid.eq(port.cmd.valid & port.cmd.ready),
            waiting.sink.data.eq(port.cmd.addr),
            port.rdata.valid.eq(waiting.source.valid & answer),
            port.rdata.data.eq(waiting.source.data),
            waiting.source.ready.eq(port.rdata.valid),
        ]
        return ready & answer

    def write_port(self, port):
        """A memory that takes words after their commands.

        Returns
        -------
        commands, words : Signal(COUNT_BITS)
            Taken before this cycle.
        """
        ready, take = Signal(), Signal()
        self.free |= {ready, take}
        commands = self.count(port.cmd.valid & port.cmd.ready, COUNT_BITS)
        words    = self.count(port.wdata.valid & port.wdata.ready, COUNT_BITS)
        self.comb += [
            port.cmd.ready.eq(ready),
            port.wdata.ready.eq(take & (words != commands)),
        ]
        return commands, words


class RegionsAreRead(MemoryClaim):
    """Beats are those of the regions, in order; no FIFO runs over; all come when memory and reader do their part.

    Parameters
    ----------
    ports, chunk_beats, parts : int
        Ports, words of a chunk, words of a beat.
    settle_cycles : int
        For all beats of a region and its place in the queue.
    """

    def __init__(self, ports, chunk_beats, parts=1, *, address_bits=4, depth=2, regions=2, settle_cycles=40, seen=2):
        MemoryClaim.__init__(self)
        memory = [LiteDRAMNativePort("read", address_bits, 8, id=index) for index in range(ports)]
        self.block = block = RegionReader(memory, fifo_depth=depth, chunk_beats=chunk_beats, data_width=8*parts)
        self.feed(block.sink)
        self.free.add(block.source.ready)

        # # #

        flows = [self.read_port(port, depth) for port in memory]
        self.assume(block.sink.start + block.sink.beats <= (1 << address_bits)//parts)
        for index in range(ports):
            reader = getattr(block, f"port_{index}")
            self.check(~reader.fifo.sink.valid | reader.fifo.sink.ready)
        self.wanted = wanted = stream.SyncFIFO([("start", address_bits), ("beats", address_bits + 1)], regions)
        offset = Signal(address_bits)
        came   = Signal()
        whole  = Signal()
        self.comb += [
            wanted.sink.valid.eq(block.sink.valid & block.sink.ready & (block.sink.beats != 0)),
            wanted.sink.start.eq(block.sink.start),
            wanted.sink.beats.eq(block.sink.beats),
            came.eq(block.source.valid & block.source.ready),
            whole.eq(offset + 1 == wanted.source.beats),
            wanted.source.ready.eq(came & whole),
        ]
        self.assume(~block.sink.valid | wanted.sink.ready)
        self.sync += If(came, offset.eq(offset + 1), If(whole, offset.eq(0)))
        self.check(~block.source.valid | wanted.source.valid)
        for part in range(parts):
            address = Signal(address_bits)
            self.comb += address.eq((wanted.source.start + offset)*parts + part)
            self.check(~came | (block.source.data[8*part:8*part + 8] == address))
        still = Signal(max=settle_cycles + 1)
        flow  = block.source.ready & ~block.sink.valid
        for each in flows:
            flow = flow & each
        self.sync += If(~flow, still.eq(0)).Elif(still != settle_cycles, still.eq(still + 1))
        self.check((still != settle_cycles) | (~wanted.source.valid & block.idle))
        self.comb += self.seen.eq(self.count(wanted.source.valid & wanted.source.ready, COUNT_BITS) >= seen)


class AnswersFindTheirReader(MemoryClaim):
    """Readers on one port: each hears what it asked for, in its order."""

    def __init__(self, count, *, address_bits=4, depth=2, chunk=2, buffered=False):
        MemoryClaim.__init__(self)
        port = LiteDRAMNativePort("read", address_bits, 8)
        self.block = block = ReadShare(port, count, depth=depth, chunk=chunk, buffered=buffered)
        self.read_port(port, depth)

        # # #

        heard = []
        for each in block.ports:
            self.feed(each.cmd)
            asked = stream.SyncFIFO([("address", address_bits)], depth + 2)
            self.submodules += asked
            self.comb += [
                asked.sink.valid.eq(each.cmd.valid & each.cmd.ready),
                asked.sink.address.eq(each.cmd.addr),
                asked.source.ready.eq(each.rdata.valid),
            ]
            self.check(~each.rdata.valid | (asked.source.valid & (each.rdata.data == asked.source.address)),
                ~asked.sink.valid | asked.sink.ready)
            heard.append(self.count(each.rdata.valid, COUNT_BITS))
        self.comb += self.seen.eq((heard[0] != 0) & (heard[-1] != 0))


class JobsAreWritten(MemoryClaim):
    """Words go to the places after the job's start, one after the other; a job ends when the memory took all of it."""

    def __init__(self, config, *, address_bits=4, seen=2):
        MemoryClaim.__init__(self)
        port = LiteDRAMNativePort("write", address_bits, config.memory_bits)
        self.block = block = ResultWriter(config, port, burst_words=2, fifo_depth=2)
        self.feed(block.jobs)
        self.feed(block.sink)
        self.free.add(block.source.ready)

        # # #

        parts = config.words_per_beat
        commands, words = self.write_port(port)
        passed = Signal(COUNT_BITS)  # memory's words of the beats that were taken
        before = Signal(COUNT_BITS)  # those of ended jobs
        ended  = Signal()
        taken  = Signal()
        self.comb += [
            taken.eq(block.sink.valid & block.sink.ready),
            ended.eq(block.source.valid & block.source.ready),
        ]
        number = self.symbol(COUNT_BITS, "number")
        entry  = Signal(config.port_bits)
        bounds = Signal(COUNT_BITS)          # words of the oldest job, when its end was taken
        known  = Signal()
        self.sync += [
            If(taken & ~block.sink.end, passed.eq(passed + parts)),
            If(taken & block.sink.end, known.eq(1), bounds.eq(passed)),
            If(ended, known.eq(0), before.eq(words)),
            If(taken & ~block.sink.end & (passed == number), entry.eq(block.sink.data)),
        ]
        # One job at a time, as the result sequencer's order makes it; its entry is there before its first beat.
        self.assume(~block.sink.valid | block.jobs.valid)
        self.assume(~block.sink.valid | ~known)
        self.assume(number[:(parts - 1).bit_length()] == 0 if parts > 1 else 1)
        address = Signal(address_bits)
        self.comb += address.eq(block.jobs.out_beat*parts + commands - before)
        self.check(~port.cmd.valid | (block.jobs.valid & port.cmd.we & (port.cmd.addr == address)))
        self.check(~port.cmd.valid | (commands < passed + parts))
        for part in range(parts):
            width = config.memory_bits
            self.check(~port.wdata.valid | (words != number + part)
                | ((port.wdata.data == entry[width*part:width*(part + 1)]) & (port.wdata.we == (1 << width//8) - 1)))
        self.check(~block.source.valid | (known & (words == bounds) & (commands == bounds)
            & (block.source.code == block.jobs.code)))
        self.comb += self.seen.eq(ended & (words - before == seen))


class NothingOutsideIsWritten(MemoryClaim):
    """Whatever words and places are given, the memory hears of no word outside of the bounds."""

    def __init__(self, config, *, address_bits=6):
        MemoryClaim.__init__(self)
        port = LiteDRAMNativePort("write", address_bits, config.memory_bits)
        self.block = block = BoundedWriter(config, port, burst_words=2, fifo_depth=2, seeks=2)
        self.feed(block.sink)
        self.free.add(block.source.ready)

        # # #

        low  = self.symbol(len(block.low_beat), "low")
        high = self.symbol(len(block.high_beat), "high")
        self.comb += block.low_beat.eq(low), block.high_beat.eq(high)
        self.assume(high <= (1 << address_bits)//config.words_per_beat)  # the memory has no more
        commands, words = self.write_port(port)
        beat = port.cmd.addr[(config.words_per_beat - 1).bit_length():]
        self.check(~port.cmd.valid | ((beat >= low) & (beat < high)))
        self.check(~(block.source.valid) | ((words == commands) & ~port.wdata.valid))
        self.comb += self.seen.eq((words != 0) & block.source.valid & block.source.outside)
