# SPDX-License-Identifier: BSD-2-Clause
"""W4A16 with dequantisation inside the loop, as TensorRT-LLM's weight-only kernels do it.

For each weight, in every cycle: w = fp16((q − 8)·s), rounded once to FP16 (nearest, ties to even), then w·x in FP32
(exact: 22 bits) and an FP32 addition, rounded to nearest even in every cycle. Scales are FP16, one a group.

An FP32 adder cannot finish in one fast cycle, so `INTERLEAVE` sums take turns in its pipeline: weights of that many
output channels come one after the other, and each channel's products are added in order, as IEEE 754 has it.

Special numbers: infinities and NaN, in scales or activations, and weights that overflow FP16, set the group's flag; its
total means nothing then. Subnormals are exact. FP32 can neither overflow nor become subnormal here.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from migen import Cat, Constant, If, Module, Mux, Signal

from mixpe_gateware.contract.errors import ConfigError, DtypeError, ShapeError
from mixpe_gateware.pe.interface import DotProduct, check_operand

INTERLEAVE    = 5
EXPONENT_BITS = 7  # of FP32 numbers here: products are 2^-48 … 2^32


@dataclass(frozen=True, kw_only=True)
class Fp16Dequant(DotProduct):
    """UINT4 × FP16 multiply-accumulate with in-loop dequantisation; one lane.

    The `weights` port has the nibble, then the FP16 scale.
    """

    lanes: int = 1

    name: ClassVar[str] = "fp16-dequant"
    summary: ClassVar[str] = "W4A16, weights dequantised to FP16 in the loop, FP32 sums (TensorRT-LLM)"
    multiplies: ClassVar[bool] = True
    activation_format: ClassVar[str] = "FP16"
    lane_activation_bits: ClassVar[int] = 16

    def __post_init__(self):
        super().__post_init__()
        if self.lanes != 1:
            raise ConfigError(f"{self.name}: lanes must be 1, not {self.lanes!r}")

    @property
    def latency(self):
        return 4 + INTERLEAVE

    def dequantise(self, q, scale):
        """fp16((q − 8)·scale)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return ((np.asarray(q, np.float64) - 8)*np.asarray(scale, np.float64)).astype(np.float16)

    def reference(self, q, x, scale):
        """FP32 sums over the last axis, added in order.

        Parameters
        ----------
        q : (…, k) integer array, 0 … 15
        x : (…, k) float16
        scale : (…) float16, one for each sum

        Returns
        -------
        (…) float32

        Raises
        ------
        DtypeError, ShapeError, RangeError
        """
        x, scale = np.asarray(x), np.asarray(scale)
        if x.dtype != np.float16 or scale.dtype != np.float16:
            raise DtypeError(f"activations and scales must be float16, not {x.dtype} and {scale.dtype}")
        q = check_operand("weights", q, 4, False, x.shape[-1])
        if q.shape != x.shape or scale.shape != x.shape[:-1]:
            raise ShapeError(f"weights {q.shape}, activations {x.shape}, scales {scale.shape} do not belong together")
        w = self.dequantise(q, scale[..., None]).astype(np.float32)
        total = np.zeros(x.shape[:-1], np.float32)
        for index in range(x.shape[-1]):
            total = total + w[..., index]*x[..., index].astype(np.float32)
        return total

    def encode_weights(self, q, scale):
        return int(q) | int(np.float16(scale).view(np.uint16)) << 4

    def encode(self, x):
        return int(np.float16(x).view(np.uint16))

    def value(self, total):
        """float32 of a `total` port's value: sign, exponent and 24-bit mantissa, ±mantissa·2^(exponent − 72)."""
        mantissa, exponent, sign = total & (1 << 24) - 1, total >> 24 & (1 << EXPONENT_BITS) - 1, total >> 31
        return np.float32((-1 if sign else 1)*float(mantissa)*2.0**(exponent - 72))

    def create(self):
        return Fp16DequantUnit(self)

    def create_group(self, group_size=128, accumulator_bits=None):
        if accumulator_bits is not None:
            raise ConfigError(f"{self.name}: the width of the sums is fixed, accumulator_bits={accumulator_bits!r}")
        return Fp16DequantUnit(self)


def taken_apart(x):
    """(sign, exponent 0 … 29, significand, special) of an FP16 port, as `float16.split`."""
    field = x[10:15]
    return x[15], Mux(field == 0, 0, field - 1), Cat(x[:10], field != 0), field == 31


class Fp16DequantUnit(Module):
    """The unit of `Fp16Dequant`.

    Attributes
    ----------
    weights : Signal(20), in
    activations : Signal(16), in
    first, last : Signal(), in
        This input begins a channel's sum; ends it. Input t and input t + INTERLEAVE belong to one channel.
    total : Signal(32), out
        See `Fp16Dequant.value`; of the input of `latency` cycles ago, when `done`.
    flag : Signal(), out
        A special number was seen since `first`.
    done : Signal(), out
    latency : int
    """

    def __init__(self, params):
        self.weights     = Signal(20)
        self.activations = Signal(16)
        self.first       = Signal()
        self.last        = Signal()
        self.total       = Signal(32)
        self.flag        = Signal()
        self.done        = Signal()
        self.latency     = params.latency

        # # #

        self._accumulate(*self._multiply(*self._dequantise()))
        last = self.last
        for _ in range(4 + INTERLEAVE):
            later = Signal()
            self.sync += later.eq(last)
            last = later
        self.comb += self.done.eq(last)

    def _register(self, value, bits, copies=1):
        for _ in range(copies):
            later = Signal(bits, reset_less=True)
            self.sync += later.eq(value)
            value = later
        return value

    def _dequantise(self):
        """Stages 1 and 2: the weight as FP16, the exponents' sum, the sign, the activation, and what is special."""
        register = self._register
        # 1: (q − 8)·s.
        q = self.weights[:4]
        magnitude = Signal(4)
        self.comb += magnitude.eq(Mux(q[3], q - 8, 8 - q))
        sign_s, exponent_s, significand_s, special_s = taken_apart(self.weights[4:])
        sign_x, exponent_x, significand_x, special_x = taken_apart(self.activations)
        scaled    = register(magnitude*significand_s, 15)
        exponent1 = register(exponent_s, 5)
        sign1     = register(sign_s ^ ~q[3] ^ sign_x, 1)
        special1  = register(special_s | special_x, 1)
        x1, ex1   = register(significand_x, 11), register(exponent_x, 5)

        # 2: to FP16. The significand stays as it is below 2048; above, it is rounded.
        rounded = Signal(12)
        places  = Signal(3)
        cases   = If(scaled < 2048, rounded.eq(scaled))
        for shift in range(1, 5):
            half   = scaled[shift - 1]
            sticky = (scaled[:shift - 1] != 0) if shift > 1 else Constant(0)
            step   = [rounded.eq(scaled[shift:] + (half & (sticky | scaled[shift]))), places.eq(shift)]
            cases  = cases.Elif(scaled < 2048 << shift, *step) if shift < 4 else cases.Else(*step)
        self.comb += cases
        exponent = Signal(6)
        self.comb += exponent.eq(exponent1 + places)
        w2        = register(rounded, 12)
        exponent2 = register(exponent + ex1, 7)
        overflow  = (rounded >= 1024) & (exponent > 29) | (rounded == 2048) & (exponent == 29)
        special2  = register(special1 | overflow, 1)
        sign2, x2 = register(sign1, 1), register(x1, 11)
        return w2, x2, exponent2, sign2, special2

    def _multiply(self, w2, x2, exponent2, sign2, special2):
        """Stages 3 and 4: the exact product as mantissa, exponent and sign."""
        register = self._register
        # 3: the product, exact.
        product   = register(w2*x2, 23)
        exponent3 = register(exponent2, 7)
        sign3     = register(sign2, 1)

        # 4: its highest bit to bit 23 of the mantissa; exponents count from 2^-72.
        zeros     = leading_zeros(self, product, 23)
        mantissa4 = register(product << zeros + 1, 24)
        exponent4 = register(Mux(product == 0, 0, exponent3 + 23 - zeros), EXPONENT_BITS)
        sign4     = register(sign3, 1)
        first4    = register(self.first, 1, 4)
        special4  = register(special2, 1, 2)
        return mantissa4, exponent4, sign4, first4, special4

    def _accumulate(self, mantissa4, exponent4, sign4, first4, special4):
        """Stages 5 to 9: INTERLEAVE sums in turn, and the flag that belongs to each."""
        register = self._register
        # Five stages that end in `sum`, which is their other operand again: INTERLEAVE sums in turn.
        sum_sign     = Signal(reset_less=True)
        sum_exponent = Signal(EXPONENT_BITS, reset_less=True)
        sum_mantissa = Signal(24, reset_less=True)
        a = Signal(EXPONENT_BITS + 24)
        b = Signal(EXPONENT_BITS + 24)
        self.comb += a.eq(Mux(first4, 0, Cat(sum_mantissa, sum_exponent))), b.eq(Cat(mantissa4, exponent4))
        swap     = a < b
        large    = register(Mux(swap, b, a), EXPONENT_BITS + 24)
        small    = register(Mux(swap, a[:24], mantissa4), 24)
        distance = register(Mux(swap, b[24:] - a[24:], a[24:] - b[24:]), EXPONENT_BITS)
        sign_a   = sum_sign & ~first4
        sign5    = register(Mux(swap, sign4, sign_a), 1)
        minus5   = register(sign4 ^ sign_a, 1)

        # 6: the smaller one to the larger one's exponent, with three more bits, the last one sticky.
        wide     = Signal(24 + 27)
        shifted  = Signal(27)
        self.comb += [
            wide.eq(Cat(Constant(0, 27), small) >> Mux(distance > 27, 27, distance)),
            shifted.eq(Cat(wide[:25] != 0, wide[25:])),
        ]
        small6, large6 = register(shifted, 27), register(large, EXPONENT_BITS + 24)
        sign6, minus6  = register(sign5, 1), register(minus5, 1)

        # 7: the sum.
        base   = Cat(Constant(0, 3), large6[:24])
        sum7   = register(Mux(minus6, base - small6, base + small6), 28)
        exp7   = register(large6[24:], EXPONENT_BITS)
        sign7  = register(sign6, 1)

        # 8: its highest bit to bit 27; what falls off to the right of bit 0 stays sticky in it.
        zeros8 = leading_zeros(self, sum7, 28)
        sum8   = register(sum7 << zeros8, 28)
        exp8   = register(Mux(sum7 == 0, 0, exp7 + 1 - zeros8), EXPONENT_BITS)
        sign8  = register(sign7 & (sum7 != 0), 1)

        # 9: to nearest, ties to even.
        up     = sum8[3] & ((sum8[:3] != 0) | sum8[4])
        nearest = Signal(25)
        self.comb += nearest.eq(sum8[4:] + up)
        self.sync += [
            sum_mantissa.eq(Mux(nearest[24], nearest[1:], nearest[:24])),
            sum_exponent.eq(exp8 + nearest[24]),
            sum_sign.eq(sign8),
        ]
        self.comb += self.total.eq(Cat(sum_mantissa, sum_exponent, sum_sign))

        flag = Signal(reset_less=True)
        seen = register((flag & ~first4) | special4, 1, INTERLEAVE - 1)
        self.sync += flag.eq(seen)
        self.comb += self.flag.eq(flag)


def leading_zeros(module, value, bits):
    """Zeros above the highest 1 of the lowest `bits` bits; bits − 1 for 0."""
    count = Signal(max=bits)
    statement = If(value[bits - 1], count.eq(0))
    for zeros in range(1, bits - 1):
        statement = statement.Elif(value[bits - 1 - zeros], count.eq(zeros))
    module.comb += statement.Else(count.eq(bits - 1))
    return count

