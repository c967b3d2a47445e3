# SPDX-License-Identifier: BSD-2-Clause
"""Fields of a 32-bit word, and what follows from them: masks, taking a value out of a word, putting one in."""

from dataclasses import dataclass

from mixpe_gateware.contract.errors import RangeError

WORD_BITS = 32


@dataclass(frozen=True)
class Field:
    """Bits of a word.

    Parameters
    ----------
    name : str
    lsb, width : int
    text : str
        What it says, for people.
    values : tuple of (int, str)
        Its codes and what they mean, where it holds codes.
    part : str
        The optional part of the contract (`config.OPTIONAL_PARTS`) that it belongs to; zero in builds without it.
    """

    name: str
    lsb: int
    width: int
    text: str
    values: tuple = ()
    part: str = ""

    @property
    def largest(self):
        """Largest value."""
        return (1 << self.width) - 1

    @property
    def mask(self):
        """Its bits in the word."""
        return self.largest << self.lsb

    @property
    def msb(self):
        return self.lsb + self.width - 1

    @property
    def is_flag(self):
        """One bit, true or false."""
        return self.width == 1

    def of(self, word):
        """Value in a word: an int."""
        return word >> self.lsb & self.largest

    def put(self, value):
        """Word with this value and nothing else.

        Raises
        ------
        RangeError
            The value has more bits than the field.
        """
        if value & ~self.largest:
            raise RangeError(f"{self.name} must be 0 … {self.largest}, not {value}")
        return value << self.lsb


def of_parts(entries, parts):
    """Fields, registers or parameters of builds with these optional parts, of those that `entries` has: tuple."""
    return tuple(each for each in entries if not each.part or each.part in parts)


class WithFields:
    """A word with `name` and `fields`: a tuple of Field from the lowest bit up, empty where the word is one number."""

    @property
    def mask(self):
        """Bits that mean something."""
        return sum(field.mask for field in self.fields) if self.fields else (1 << WORD_BITS) - 1

    def fields_of(self, parts):
        """The fields of builds with these optional parts: tuple of Field."""
        return of_parts(self.fields, parts)

    def field(self, name):
        """The field of that name.

        Raises
        ------
        KeyError
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"{self.name} has no field {name!r}")
