# SPDX-License-Identifier: BSD-2-Clause
"""Widths of the numbers in the datapath, each from the limit that it must hold."""

from mixpe_gateware.contract.config import K_LIMIT, SHIFT_LIMIT
from mixpe_gateware.contract.scaling import FACTOR_BITS


def log2(value):
    """Exponent of a power of two."""
    return value.bit_length() - 1


GROUP_SUM_BITS = 1 + (15*128*K_LIMIT).bit_length()  # P, signed: G = k = 16384 fits
ROW_SUM_BITS   = 22                                 # XS, signed: 16384·(-128) fits
SHIFT_BITS     = SHIFT_LIMIT.bit_length()           # of an aligned group
MANTISSA_BITS  = 12                                 # of an FP16 scale, signed
SHIFT_MAX      = 29 + SHIFT_LIMIT                   # of a scale and of an aligned group
TERM_MAX       = 15*128*K_LIMIT                     # of a whole channel, in units of the activations


def total_bits(config):
    """Bits of a whole channel's sum, signed. Two levels add up to 63·(s·P + m·XS), XS up to a fifteenth of P."""
    largest = TERM_MAX*16//15*((1 << FACTOR_BITS) - 1) if config.minima else TERM_MAX
    return 1 + (largest*2047 << SHIFT_MAX).bit_length()


def wide_bits(config):
    """Bits of 256·hi + lo, the sum of an A16 token."""
    return total_bits(config) + 9
