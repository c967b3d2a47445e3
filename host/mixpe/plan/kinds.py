# SPDX-License-Identifier: BSD-2-Clause
"""Formats of activations, by the names that people use."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What a format is to the array.

    Attributes
    ----------
    text : str
        For people.
    wide : bool
        A token is two rows.
    shift : bool
        Each token's groups have alignment shifts.
    """

    text: str
    wide: bool = False
    shift: bool = False


KINDS = {
    "a8":  Kind("int8 with one scale a token"),
    "a8g": Kind("int8 with a power-of-two scale per group", shift=True),
    "a16": Kind("FP16, aligned per group", wide=True, shift=True),
}
