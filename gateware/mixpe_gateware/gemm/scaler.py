# SPDX-License-Identifier: BSD-2-Clause
"""Per-group dequantisation after the group: exact integers to the end of the channel.

    term     = P − z·XS                                    26 bits
    product  = term · mantissa(s)                          DSP block, 37 bits
    acc'     = (first ? 0 : acc) + product << (e(s) + h)   81 bits

An FP16 scale is an integer of 11 bits and sign, shifted by 0 … 29 in units of 2^-24, so every scale is exact and no
rounding happens before the sum of the channel is complete.

Source: MixPE, arXiv 2411.16158, equation 5; the exact accumulator is ours.
"""

from litex.gen import LiteXModule
from migen import Case, Cat, If, Memory, Mux, Signal

from mixpe_gateware.contract.widths import (
    GROUP_SUM_BITS,
    MANTISSA_BITS,
    ROW_SUM_BITS,
    SHIFT_BITS,
    SHIFT_MAX,
    TOTAL_BITS,
)
from mixpe_gateware.stream.fanout import delayed


class ScaleUnit(LiteXModule):
    """One scale-accumulate unit for several rows in turn.

    Latency `LATENCY` cycles from `valid` with `last` to `done`; one group sum a cycle; no back-pressure.

    Parameters
    ----------
    slots : int
        Rows that the unit serves, each with an accumulator.

    Attributes
    ----------
    valid, first, last : Signal(), in
        A group sum, and whether it is the first or last of its channel.
    slot : Signal(max=slots), in
    partial : Signal((GROUP_SUM_BITS, True)), in
    row_sum : Signal((22, True)), in
    zero : Signal(4), in
    scale : Signal(16), in
        FP16, finite.
    shift : Signal(4), in
    total : Signal((TOTAL_BITS, True)), out
    done : Signal(), out
    """

    LATENCY = 7

    def __init__(self, slots):
        self.valid   = Signal()
        self.first   = Signal()
        self.last    = Signal()
        self.slot    = Signal(max=max(2, slots))
        self.partial = Signal((GROUP_SUM_BITS, True))
        self.row_sum = Signal((ROW_SUM_BITS, True))
        self.zero    = Signal(4)
        self.scale   = Signal(16)
        self.shift   = Signal(SHIFT_BITS)
        self.total   = Signal((TOTAL_BITS, True), reset_less=True)
        self.done    = Signal()

        # # #

        # 1: z·XS, and the scale as an integer and a shift.
        offset    = Signal((GROUP_SUM_BITS + 1, True), reset_less=True)
        partial   = Signal((GROUP_SUM_BITS, True), reset_less=True)
        mantissa  = Signal((MANTISSA_BITS, True), reset_less=True)
        amount    = Signal(6, reset_less=True)
        zero      = Signal((5, True))
        magnitude = Signal(11)
        field     = self.scale[10:15]
        self.comb += [
            zero.eq(self.zero),
            magnitude.eq(Cat(self.scale[:10], field != 0)),
        ]
        self.sync += [
            offset.eq(self.row_sum*zero),
            partial.eq(self.partial),
            mantissa.eq(Mux(self.scale[15], -magnitude, magnitude)),
            amount.eq(Mux(field == 0, 0, field - 1) + self.shift),
        ]
        # 2: the term of the group.
        term       = Signal((GROUP_SUM_BITS, True), reset_less=True)
        mantissa_2 = Signal((MANTISSA_BITS, True), reset_less=True)
        self.sync += [
            term.eq(partial - offset),
            mantissa_2.eq(mantissa),
        ]
        # 3, 4: the product; two registers for the DSP block to take in.
        product   = Signal((GROUP_SUM_BITS + MANTISSA_BITS - 1, True), reset_less=True)
        product_4 = Signal.like(product)
        self.sync += [
            product.eq(term*mantissa_2),
            product_4.eq(product),
        ]
        # 5, 6: the shift, by eights and then by ones.
        amounts = [amount]
        for _ in range(4):
            amounts.append(delayed(self, amounts[-1], 1, reset_less=True))
        coarse  = Signal((TOTAL_BITS, True), reset_less=True)
        shifted = Signal((TOTAL_BITS, True), reset_less=True)
        self.sync += [
            Case(amounts[3][3:], {index: coarse.eq(product_4 << 8*index) for index in range(SHIFT_MAX//8 + 1)}),
            Case(amounts[4][:3], {index: shifted.eq(coarse << index) for index in range(8)}),
        ]
        # 7: the accumulators.
        early   = delayed(self, Cat(self.valid, self.first, self.last, self.slot), self.LATENCY - 2)
        control = delayed(self, early, 1)
        valid, first, last, slot = control[0], control[1], control[2], control[3:]
        current = Signal((TOTAL_BITS, True), reset_less=True)
        before  = Signal((TOTAL_BITS, True))
        after   = Signal((TOTAL_BITS, True))
        self.comb += after.eq(shifted + Mux(first, 0, before))
        if slots == 1:
            self.comb += before.eq(current)
            self.sync += If(valid, current.eq(after))
        else:
            # Read a cycle ahead, so that the adder begins at registers. A total that is written in that very cycle is
            # in `total` in the next.
            memory = Memory(TOTAL_BITS, slots, name="totals")
            write  = memory.get_port(write_capable=True)
            read   = memory.get_port(async_read=True)  # LUT RAM
            again  = Signal()
            self.specials += memory, write, read
            self.comb += [
                write.adr.eq(slot),
                write.dat_w.eq(after),
                write.we.eq(valid),
                read.adr.eq(early[3:]),
                before.eq(Mux(again, self.total, current)),
            ]
            self.sync += [
                current.eq(read.dat_r),
                again.eq(valid & (slot == early[3:])),
            ]
        self.sync += [
            self.total.eq(after),
            self.done.eq(valid & last),
        ]
