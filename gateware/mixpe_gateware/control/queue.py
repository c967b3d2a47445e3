# SPDX-License-Identifier: BSD-2-Clause
"""Job queue: descriptors in one memory, word by word in and word by word out.

    words of the job registers ─► memory (2·queue_depth slots of SLOT_WORDS) ─► checker

A slot is written while the host fills it and read when the checker comes to it, so a descriptor is never held in
registers: 288 bits a job would be most of a small FPGA.
"""

from litex.gen import LiteXModule
from migen import READ_FIRST, If, Memory, Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS


class JobQueue(LiteXModule):
    """Posted descriptors in order.

    Latency 2 cycles from `post` to `valid`, 1 cycle from `index` to `data`.

    Parameters
    ----------
    depth : int
        Most jobs that are posted and not popped, a power of two; the user keeps to it.

    Attributes
    ----------
    word : Signal(max=SLOT_WORDS), data : Signal(32), write : Signal(), in
        A word of the next descriptor.
    post : Signal(), in
        With the last word: the descriptor is complete.
    valid : Signal(), out
        There is a descriptor to read.
    index : Signal(max=SLOT_WORDS), in
        Word of the oldest descriptor; `value` shows it in the next cycle.
    value : Signal(32), out
    pop : Signal(), in
        The oldest descriptor is done with.
    """

    def __init__(self, depth):
        self.word  = Signal(max=SLOT_WORDS)
        self.data  = Signal(32)
        self.write = Signal()
        self.post  = Signal()
        self.valid = Signal()
        self.index = Signal(max=SLOT_WORDS)
        self.value = Signal(32)
        self.pop   = Signal()

        # # #

        # Twice the depth: the slot that is being written is never one that is still to be read.
        slots  = 2*depth
        memory = Memory(32, slots*SLOT_WORDS, name="queue")
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        tail, head = Signal(max=slots), Signal(max=slots)
        self.comb += [
            write.adr.eq(self.word + tail*SLOT_WORDS),
            write.dat_w.eq(self.data),
            write.we.eq(self.write),
            read.adr.eq(self.index + head*SLOT_WORDS),
            self.value.eq(read.dat_r),
        ]
        self.sync += [
            If(self.post, tail.eq(tail + 1)),
            If(self.pop, head.eq(head + 1)),
            self.valid.eq((tail != head) & ~self.pop),
        ]
