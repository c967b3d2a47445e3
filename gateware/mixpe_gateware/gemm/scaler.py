# SPDX-License-Identifier: BSD-2-Clause
"""Per-group dequantisation after the group: exact integers to the end of the channel.

    term     = P − z·XS                                    26 bits
    product  = term · mantissa(s)                          DSP block, 37 bits
    acc'     = (first ? 0 : acc) + product << (e(s) + h)   81 bits

An FP16 scale is an integer of 11 bits and sign, shifted by 0 … 29 in units of 2^-24, so every scale is exact and no
rounding happens before the sum of the channel is complete. With real minima (`Config.minima`) a group has two terms,
each with a mantissa and a shift of its own, and the accumulator 87 bits:

    terms    = a·P, b·XS                                   a = b = 1 without two levels
    acc'     = (first ? 0 : acc) + a·P·mantissa(s) << (e(s) + h) + b·XS·mantissa(m) << (e(m) + h)

Source: MixPE, arXiv 2411.16158, equation 5; the exact accumulator is ours.
"""

from litex.gen import LiteXModule
from migen import Case, Cat, If, Memory, Mux, Signal

from mixpe_gateware.contract.scaling import FACTOR_BITS, TWO_LEVEL_GROUP, Form
from mixpe_gateware.contract.widths import (
    GROUP_SUM_BITS,
    MANTISSA_BITS,
    ROW_SUM_BITS,
    SHIFT_BITS,
    SHIFT_MAX,
    total_bits,
)
from mixpe_gateware.stream.fanout import delayed

SMALL_SUM_BITS = 1 + (15*128*TWO_LEVEL_GROUP).bit_length()  # P of a group of two levels, signed


class ScaleUnit(LiteXModule):
    """One scale-accumulate unit for several rows in turn.

    Latency `latency` cycles from `valid` with `last` to `done`; one group sum a cycle; no back-pressure.

    Parameters
    ----------
    config : Config
        With R/S slots: rows that the unit serves, each with an accumulator.

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
    form : Signal(2), in, with minimum : Signal(16), factor_a, factor_b : Signal(6), in
        With real minima; factors count in TWO_LEVEL alone.
    total : Signal((total_bits(config), True)), out
    done : Signal(), out
    """

    @staticmethod
    def latency_of(config):
        """Cycles from a group sum to its channel's total."""
        return 9 if config.minima else 7

    def __init__(self, config):
        slots = config.rows//config.scalers
        bits  = total_bits(config)
        self.latency = self.latency_of(config)
        self.valid   = Signal()
        self.first   = Signal()
        self.last    = Signal()
        self.slot    = Signal(max=max(2, slots))
        self.partial = Signal((GROUP_SUM_BITS, True))
        self.row_sum = Signal((ROW_SUM_BITS, True))
        self.zero    = Signal(4)
        self.scale   = Signal(16)
        self.shift   = Signal(SHIFT_BITS)
        if config.minima:
            self.form     = Signal(2)
            self.minimum  = Signal(16)
            self.factor_a = Signal(FACTOR_BITS)
            self.factor_b = Signal(FACTOR_BITS)
        self.total   = Signal((bits, True), reset_less=True)
        self.done    = Signal()

        # # #

        # With real minima, what a form selects has a cycle of its own, before all that follows.
        zero   = Signal(((FACTOR_BITS if config.minima else 4) + 1, True))  # what XS is multiplied with
        inputs = self.partial, self.row_sum, zero, self.scale, self.shift
        self.comb += zero.eq(self.zero)
        if config.minima:
            self.comb += If(self.form == Form.MINIMUM, zero.eq(1)).Elif(self.form != Form.ZERO, zero.eq(self.factor_b))
            inputs = self._registered(*inputs)
        # 1: z·XS. 2: the term of the group. 3 … 6: times the scale.
        in_partial, in_row_sum, in_zero, in_scale, in_shift = inputs
        offset  = Signal((GROUP_SUM_BITS + 1, True), reset_less=True)
        partial = Signal((GROUP_SUM_BITS, True), reset_less=True)
        term    = Signal((GROUP_SUM_BITS, True), reset_less=True)
        self.sync += [
            offset.eq(in_row_sum*in_zero),
            partial.eq(in_partial),
            term.eq(partial - offset),
        ]
        shifted = self._scaled(bits, term, in_scale, in_shift)
        if config.minima:
            # 7: both terms.
            both = Signal((bits, True), reset_less=True)
            self.sync += both.eq(shifted + self._minimum(bits, in_partial, partial, offset, term, in_shift))
            shifted = both

        # The accumulators. --------------------------------------------------------------------------------------------
        early   = delayed(self, Cat(self.valid, self.first, self.last, self.slot), self.latency - 2)
        control = delayed(self, early, 1)
        valid, first, last, slot = control[0], control[1], control[2], control[3:]
        current = Signal((bits, True), reset_less=True)
        before  = Signal((bits, True))
        after   = Signal((bits, True))
        self.comb += after.eq(shifted + Mux(first, 0, before))
        if slots == 1:
            self.comb += before.eq(current)
            self.sync += If(valid, current.eq(after))
        else:
            # Read a cycle ahead, so that the adder begins at registers. A total that is written in that very cycle is
            # in `total` in the next.
            memory = Memory(bits, slots, name="totals")
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

    def _registered(self, *values):
        """Each a cycle later: tuple of Signal."""
        registers = tuple(Signal.like(value, reset_less=True) for value in values)
        self.sync += [register.eq(value) for register, value in zip(registers, values, strict=True)]
        return registers

    def _scaled(self, bits, term, scale, shift):
        """A term of cycle 2 times an FP16 of cycle 0, shifted: of cycle 6."""
        # 1, 2: the scale as an integer and a shift.
        mantissa   = Signal((MANTISSA_BITS, True), reset_less=True)
        mantissa_2 = Signal((MANTISSA_BITS, True), reset_less=True)
        amount     = Signal(6, reset_less=True)
        magnitude  = Signal(11)
        field      = scale[10:15]
        self.comb += magnitude.eq(Cat(scale[:10], field != 0))
        self.sync += [
            mantissa.eq(Mux(scale[15], -magnitude, magnitude)),
            amount.eq(Mux(field == 0, 0, field - 1) + shift),
            mantissa_2.eq(mantissa),
        ]
        # 3, 4: the product; two registers for the DSP block to take in.
        product   = Signal((len(term) + MANTISSA_BITS - 1, True), reset_less=True)
        product_4 = Signal.like(product)
        self.sync += [
            product.eq(term*mantissa_2),
            product_4.eq(product),
        ]
        # 5, 6: the shift, by eights and then by ones.
        amounts = [amount]
        for _ in range(4):
            amounts.append(delayed(self, amounts[-1], 1, reset_less=True))
        coarse  = Signal((bits, True), reset_less=True)
        shifted = Signal((bits, True), reset_less=True)
        self.sync += [
            Case(amounts[3][3:], {index: coarse.eq(product_4 << 8*index) for index in range(SHIFT_MAX//8 + 1)}),
            Case(amounts[4][:3], {index: shifted.eq(coarse << index) for index in range(8)}),
        ]
        return shifted

    def _minimum(self, bits, in_partial, partial, offset, term, in_shift):
        """The second term in the forms with real minima, and what the first one then is; returns it scaled."""
        real, two_level, factor_a, minimum = self._registered(
            self._flag(self.form != Form.ZERO), self._flag(self.form == Form.TWO_LEVEL), self.factor_a, self.minimum)
        real_1, two_level_1 = self._registered(real, two_level)
        small  = Signal((SMALL_SUM_BITS, True))
        factor = Signal((FACTOR_BITS + 1, True))
        scaled = Signal((SMALL_SUM_BITS + FACTOR_BITS, True), reset_less=True)
        lower  = Signal((ROW_SUM_BITS, True), reset_less=True)  # of two levels, XS has seven bits less
        self.comb += [
            small.eq(in_partial),
            factor.eq(factor_a),
        ]
        self.sync += [
            scaled.eq(small*factor),
            If(two_level_1,
                term.eq(scaled),
            ).Elif(real_1,
                term.eq(partial),
            ),
            lower.eq(Mux(real_1, offset, 0)),
        ]
        return self._scaled(bits, lower, minimum, in_shift)

    def _flag(self, condition):
        flag = Signal()
        self.comb += flag.eq(condition)
        return flag
