# SPDX-License-Identifier: BSD-2-Clause
"""What a decoder computes between its linear layers, to the bit: one definition for gateware, simulation and host.

F32 is binary32 rounded to nearest even, with one zero, subnormals read and written as it; fl( ) is one such rounding.
m18( ) is F32 rounded to 18 bits of mantissa, which the second operand of every product is. Reductions are exact
integers, so no order of summation exists to agree on; functions are tables evaluated in integers.

    linear layer   y = F·unit, an exact sum rounded once (contract.reference), of activations by contract.wide
    bias, residual fl(x + y)
    norm           fl(fl(x·r)·m18(w)),  r = rsqrt(fl(fl(F32(ss)·m18(1/n)) + eps)),  ss = Σ floor(trunc18(x)²·2^32)/2^32
    rope           fl(fl(a·m18(cos)) ∓ fl(b·m18(sin)))
    K, V           s = bfloat16, rounded up, of fl(largest·m18(1/127));  code = rint(fl(x·rec(s))) in −127 … 127
    q              code = rint(t·2^(15 − e)) in ±32767,  t = fl(x·m18(log2(e)/√d)),  every |t| of the head below 2^e
    score          floor(Σ q·k · mantissa(sk) · 2^(exponent(sk) + e + 1)), units of 2^-16, 32 bits, to base 2
    p              T_exp(fraction of largest − score) >> its integer, 18 bits;  denominator = Σ p
    PV             p' = p·mantissa(sv) >> (9 + E − exponent(sv)), 17 bits, E the largest exponent(sv) seen;
                   acc = Σ p'·v, 40 bits
    head           fl(F32(acc)·(rec(F32(denominator))·2^(E + 9)))
    SwiGLU         fl(fl(g·sigmoid(g))·m18(u)),  sigmoid from T_exp and T_rec
    token          of the largest logit, the lowest of equal ones

What leaves F32, or a stated width, is a RangeError here and the code RANGE on a device, never a wrong number.
"""
