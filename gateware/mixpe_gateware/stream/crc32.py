# SPDX-License-Identifier: BSD-2-Clause
"""CRC-32 as `zlib.crc32` has it, several bits a cycle."""

from functools import reduce
from operator import xor

POLYNOMIAL = 0xEDB88320  # of IEEE 802.3, bits reversed
START      = 0xFFFFFFFF  # before the first bit; the CRC is the inverse of the state


def crc_rows(bits):
    """For each of the 32 bits of the next CRC, which bits of CRC ^ data (low `bits` bits first) it is the XOR of.

    Returns
    -------
    list of 32 int
        Bit i of a row says that bit i of the 32-bit value (crc ^ data) counts.
    """
    rows = [1 << bit for bit in range(32)]
    for _ in range(bits):
        low  = rows[0]
        rows = rows[1:] + [0]
        rows = [row ^ low if POLYNOMIAL >> bit & 1 else row for bit, row in enumerate(rows)]
    return rows


def crc_terms(mixed, bits):
    """The 32 bits of the next state: list of expressions.

    Parameters
    ----------
    mixed : Signal(32)
        State ^ data, the first bit of data lowest.
    bits : int
        Of data.
    """
    return [reduce(xor, [mixed[index] for index in range(32) if row >> index & 1]) for row in crc_rows(bits)]
