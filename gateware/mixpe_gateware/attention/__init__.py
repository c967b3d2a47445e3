# SPDX-License-Identifier: BSD-2-Clause
"""The attention engine: one query a head over the INT8 cache, `contract.decoder.attention` to the bit.

    checker     a record: shape, regions, what the others need of it
    requests    which regions of memory are read, in which order
    control     which beat is what
    operands    queries, their exponents, scales: what is kept on the chip
    lanes       multipliers, dot products, sums of values
    scores      scale, shift, range, the largest; score memory
    weights     2^-(largest − score), times the value's scale; the denominator
    readout     sums to results in F32
    engine      all of it on the engine seam
"""
