# SPDX-License-Identifier: BSD-2-Clause
"""Registers behind signals and expressions, without reset: the stages of a pipeline."""

from migen import Signal


def delayed(module, signal, cycles):
    """`signal` some cycles later."""
    for _ in range(cycles):
        later = Signal(signal.nbits, reset_less=True)
        module.sync += later.eq(signal)
        signal = later
    return signal


def registered(module, value, bits=1):
    """`value` one cycle later, as a signal."""
    later = Signal(bits, reset_less=True)
    module.sync += later.eq(value)
    return later
