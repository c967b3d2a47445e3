# SPDX-License-Identifier: BSD-2-Clause
"""Weight stream: one sequential read from DRAM, parted into weights, scales and zero points.

    reader ─► [scales][zeros][weights of 8 channels] ─┬─► scale memory (two blocks) ─► scalers
                                                      ├─► zero memory  (two blocks) ─► scalers
                                                      └─► weight buffer ─► array

With real minima, these or the factors of two levels go to a further memory in the zeros' place; minima of superblocks,
of which there are fewer, to one of their own.

The weight buffer is a ring that can be read again: prefill of several row tiles rewinds to the start of the channel, so
that each weight is read from DRAM once however many rows meet it.
"""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import FSM, READ_FIRST, Array, Cat, If, Memory, NextState, NextValue, Signal, bits_for

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.layout import FACTORS, MINIMA, SCALES, ZEROS
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, Form
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.gemm.ticket import ticket_layout
from mixpe_gateware.stream.reader import RegionReader

FIELDS = ("skip", "weights_beat", "stream_beats", "stream_words", "stream_groups", "blocks_last", "form")  # of a ticket


class WeightBuffer(LiteXModule):
    """A ring of beats whose reader can go back to where it last released.

    Latency 2 cycles from `take` to `data`. A beat in and a beat out a cycle.

    Attributes
    ----------
    sink : Endpoint([("data", width)]), in
    available : Signal(), out
        There is a beat to take.
    take : Signal(), in
        Move on by a beat; only while `available`.
    release : Signal(), in
        With `take`: everything up to and with this beat is done with.
    rewind : Signal(), in
        With `take`: the next beat is the first that is not released.
    data : Signal(width), out
    """

    READ_LATENCY = 2

    def __init__(self, width, depth):
        self.sink      = sink = stream.Endpoint([("data", width)])
        self.available = Signal()
        self.take      = Signal()
        self.release   = Signal()
        self.rewind    = Signal()
        self.data      = Signal(width)

        # # #

        bits  = log2(depth)
        memory = Memory(width, depth, name="weights")
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read

        # Pointers have one bit more than an address: full and empty differ in it.
        written  = Signal(bits + 1)
        position = Signal(bits + 1)
        base     = Signal(bits + 1)
        level    = Signal(bits + 1)
        stock    = Signal(bits + 1)  # beats from `position` on; `available` is a register: the whole array waits for it
        self.comb += [
            level.eq(written - base),
            sink.ready.eq(~level[-1]),
            write.adr.eq(written[:bits]),
            write.dat_w.eq(sink.data),
            write.we.eq(sink.valid & sink.ready),
            read.adr.eq(position[:bits]),
        ]
        self.sync += [
            If(write.we, written.eq(written + 1)),
            If(self.take,
                position.eq(position + 1),
                If(self.release, base.eq(position + 1)),
                If(self.rewind, position.eq(base)),
            ),
            If(self.take & self.rewind,
                stock.eq(level + write.we),
                self.available.eq(1),
            ).Elif(write.we & ~self.take,
                stock.eq(stock + 1),
                self.available.eq(1),
            ).Elif(self.take & ~write.we,
                stock.eq(stock - 1),
                self.available.eq(stock != 1),
            ),
            self.data.eq(read.dat_r),
        ]


class ScaleMemory(LiteXModule):
    """Scales or zero points of two blocks, written by the beat and read by the entry.

    Latency 2 cycles from `buffer` and `entry` to `value`.

    Parameters
    ----------
    name : str
    entry_bits : int
    config : Config
    groups : int
        Most entries a channel.

    Attributes
    ----------
    write : Signal(), in
    write_buffer : Signal(), in, with write_beat : Signal, in, and data : Signal(port_bits), in
    buffer : Signal(), in, with entry : Signal, in
    value : Signal(entry_bits), out
    """

    READ_LATENCY = 2

    def __init__(self, name, entry_bits, config, groups=None):
        per_beat = config.port_bits//entry_bits
        entries  = CHANNELS_PER_BLOCK*(config.groups_max if groups is None else groups)
        depth    = max(1, entries//per_beat)
        self.write        = Signal()
        self.write_buffer = Signal()
        self.write_beat   = Signal(max=max(2, depth))
        self.data         = Signal(config.port_bits)
        self.buffer       = Signal()
        self.entry        = Signal(max=entries)
        self.value        = Signal(entry_bits)

        # # #

        memory = Memory(config.port_bits, 2*depth, name=name)
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        self.comb += [
            write.adr.eq(Cat(self.write_beat[:log2(depth)], self.write_buffer)),
            write.dat_w.eq(self.data),
            write.we.eq(self.write),
            read.adr.eq(Cat(self.entry[log2(per_beat):], self.buffer)),
        ]
        if per_beat == 1:
            self.sync += self.value.eq(read.dat_r)
        else:
            select = Signal(log2(per_beat))
            self.sync += [
                select.eq(self.entry[:log2(per_beat)]),
                self.value.eq(Array([read.dat_r[entry_bits*i:entry_bits*(i + 1)] for i in range(per_beat)])[select]),
            ]


class WeightStream(LiteXModule):
    """Fetch the weight streams of jobs and part them.

    Parameters
    ----------
    config : Config
    ports : list of LiteDRAMNativePort
    chunk_beats : int
        Beats of a DRAM row, the unit in which several ports alternate.

    Attributes
    ----------
    sink : Endpoint(ticket_layout(config, address_bits, *FIELDS)), in
        Taken when its requests begin; the next job's weights follow without a gap.
    buffer : WeightBuffer
    scales, zeros : ScaleMemory
    fine, coarse : ScaleMemory
        With `Config.minima`: minima or factors of groups, and minima of superblocks.
    block_done : Signal(), in
        Strobe: the scalers are done with the oldest block's scales.
    blocks_ready : Signal(max=3), out
        Blocks whose scales and zeros are stored and in use.
    beat : Signal(), out
        A beat came from memory.
    """

    def __init__(self, config, ports, *, chunk_beats=128):
        address_bits = ports[0].address_width - log2(config.words_per_beat)
        self.sink   = sink = stream.Endpoint(ticket_layout(config, address_bits, *FIELDS))
        self.buffer = WeightBuffer(config.port_bits, config.buffer_beats)
        self.scales = ScaleMemory(SCALES.name, SCALES.bits, config)
        self.zeros  = ScaleMemory(ZEROS.name, ZEROS.bits, config)
        self.block_done   = Signal()
        self.blocks_ready = Signal(max=3)
        self.beat         = Signal()

        # # #

        self.reader = reader = RegionReader(ports, fifo_depth=max(64, chunk_beats if len(ports) > 1 else 0),
            chunk_beats=chunk_beats, data_width=config.port_bits, buffered=not config.is_shallow)
        count     = Signal(bits_for(CHANNELS_PER_BLOCK*2*config.act_words))
        half      = Signal()
        block     = Signal.like(sink.blocks_last)
        stored    = Signal()
        scale_last  = Signal(len(sink.stream_groups) + 4)
        zero_last   = Signal(len(sink.stream_groups) + 4)
        weight_last = Signal(len(sink.stream_words) + 3)

        memories = [self.scales, self.zeros]
        if config.minima:
            self.fine   = ScaleMemory(MINIMA.name, MINIMA.bits, config)
            self.coarse = ScaleMemory("superblocks", MINIMA.bits, config, config.groups_max//SUPERBLOCK_GROUPS)
            memories   += [self.fine, self.coarse]
        job = self._add_requests()

        # Answers ------------------------------------------------------------------------------------------------------
        self.comb += [
            self.beat.eq(reader.source.valid & reader.source.ready),
            self.buffer.sink.data.eq(reader.source.data),
        ]
        for memory in memories:
            self.comb += [
                memory.data.eq(reader.source.data),
                memory.write_buffer.eq(half),
                memory.write_beat.eq(count),
            ]
        self.sync += [
            self.blocks_ready.eq(self.blocks_ready + stored - self.block_done),
            # Of the job; they have settled when SCALES begins.
            scale_last.eq(SCALES.beats(job.stream_groups, config) - 1),
            zero_last.eq(ZEROS.beats(job.stream_groups, config) - 1),
            weight_last.eq((job.stream_words << log2(CHANNELS_PER_BLOCK)) - 1),
        ]

        self.fsm = fsm = FSM(reset_state="JOB")
        to_zeros, after_scales = self.zeros.write, [NextState("ZEROS")]
        if config.minima:
            to_zeros, after_scales = self._add_forms(config, job, scale_last, zero_last, count)
        fsm.act("JOB",
            If(job.valid, NextState("SCALES")),
        )
        fsm.act("SCALES",
            If(self.blocks_ready < 2,
                reader.source.ready.eq(1),
                self.scales.write.eq(reader.source.valid),
                If(reader.source.valid,
                    NextValue(count, count + 1),
                    If(count == scale_last, NextValue(count, 0), *after_scales),
                ),
            ),
        )
        fsm.act("ZEROS",
            reader.source.ready.eq(1),
            to_zeros.eq(reader.source.valid),
            If(reader.source.valid,
                NextValue(count, count + 1),
                If(count == zero_last,
                    NextValue(count, 0),
                    NextValue(half, ~half),
                    stored.eq(1),
                    NextState("WEIGHTS"),
                ),
            ),
        )
        fsm.act("WEIGHTS",
            self.buffer.sink.valid.eq(reader.source.valid),
            reader.source.ready.eq(self.buffer.sink.ready),
            If(self.beat,
                NextValue(count, count + 1),
                If(count == weight_last,
                    NextValue(count, 0),
                    NextValue(block, block + 1),
                    NextState("SCALES"),
                    If(block == job.blocks_last,
                        NextValue(block, 0),
                        job.ready.eq(1),
                        NextState("JOB"),
                    ),
                ),
            ),
        )

    def _add_forms(self, config, job, scale_last, zero_last, count):
        """Sections of the forms with real minima: the state of superblocks' minima, and counts that differ.

        Returns what writes the section in the zeros' place, and the statements that follow the scales.
        """
        source, groups = self.reader.source, job.stream_groups
        coarse_groups  = groups[log2(SUPERBLOCK_GROUPS):]
        coarse_last    = Signal.like(scale_last)
        write, two_level = Signal(), Signal()
        self.comb += [
            two_level.eq(job.form == Form.TWO_LEVEL),
            self.zeros.write.eq(write & (job.form == Form.ZERO)),
            self.fine.write.eq(write & (job.form != Form.ZERO)),
        ]
        self.sync += [
            coarse_last.eq(MINIMA.beats(coarse_groups, config) - 1),
            If(job.form == Form.MINIMUM, zero_last.eq(MINIMA.beats(groups, config) - 1)),
            If(two_level,
                scale_last.eq(SCALES.beats(coarse_groups, config) - 1),
                zero_last.eq(FACTORS.beats(groups, config) - 1),
            ),
        ]
        self.fsm.act("SUPERBLOCKS",
            source.ready.eq(1),
            self.coarse.write.eq(source.valid),
            If(source.valid,
                NextValue(count, count + 1),
                If(count == coarse_last, NextValue(count, 0), NextState("ZEROS")),
            ),
        )
        return write, [If(two_level, NextState("SUPERBLOCKS")).Else(NextState("ZEROS"))]

    def _add_requests(self):
        """Ask for each job's stream; answers run behind by up to three jobs. Returns the job that is answered."""
        sink, reader = self.sink, self.reader
        names = {"stream_words", "stream_groups", "blocks_last", "form"}
        self.answers = answers = stream.SyncFIFO(
            [(name, bits) for name, bits in sink.description.payload_layout if name in names], 2)
        fetch = Signal()
        self.comb += [
            sink.connect(answers.sink, keep=names),
            fetch.eq(sink.valid & ~sink.skip & answers.sink.ready & reader.sink.ready),
            answers.sink.valid.eq(fetch),
            reader.sink.start.eq(sink.weights_beat),
            reader.sink.beats.eq(sink.stream_beats),
            reader.sink.valid.eq(fetch),
            sink.ready.eq(sink.skip | fetch),
        ]
        return answers.source
