# SPDX-License-Identifier: BSD-2-Clause
"""Records that are ready for the engines."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import READ_FIRST, Cat, If, Memory, Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.program.patcher import RECORD_LAYOUT

SLOTS = 2  # one that waits for its fence, one behind it


class RecordSlots(LiteXModule):
    """Words of records, written as the patcher makes them and read as from a `JobQueue`.

    Attributes
    ----------
    room : Signal(), out
    put : Signal(), place : Signal(4), value : Signal(32), in
        A word of the next record.
    sink : Endpoint(RECORD_LAYOUT), in
        The next record is complete.
    index : Signal(max=SLOT_WORDS), in
        Word of the oldest record; `word` shows it in the next cycle.
    word : Signal(32), out
    source : Endpoint(RECORD_LAYOUT), out
        The oldest record; `ready` is a strobe that gives its slot back.
    """

    def __init__(self):
        self.room   = Signal()
        self.put    = Signal()
        self.place  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.index  = Signal(max=SLOT_WORDS)
        self.word   = Signal(32)

        # # #

        self.fifo = fifo = stream.SyncFIFO(RECORD_LAYOUT, SLOTS)
        self.sink, self.source = fifo.sink, fifo.source
        memory = Memory(32, SLOTS*SLOT_WORDS, name="slots")
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        tail, head = Signal(log2(SLOTS)), Signal(log2(SLOTS))
        self.comb += [
            self.room.eq(fifo.sink.ready),
            write.adr.eq(Cat(self.place, tail)),
            write.dat_w.eq(self.value),
            write.we.eq(self.put),
            read.adr.eq(Cat(self.index, head)),
            self.word.eq(read.dat_r),
        ]
        self.sync += [
            If(fifo.sink.valid & fifo.sink.ready, tail.eq(tail + 1)),
            If(fifo.source.valid & fifo.source.ready, head.eq(head + 1)),
        ]
