# SPDX-License-Identifier: BSD-2-Clause
"""An address that is not known yet."""

from dataclasses import dataclass, replace

SESSION   = "session"    # section whose addresses count from the session's memory
OWN       = "own"        # section whose addresses count from the memory of a row's session, in a batch
CONSTANTS = "constants"  # section of what lies beside the weights
ALIGN     = 64           # of sections, and of what lies in them: a multiple of every beat


def aligned(size):
    """Bytes in whole units of `ALIGN`."""
    return -(-size//ALIGN)*ALIGN


@dataclass(frozen=True)
class Place:
    """Bytes in a section of the device's memory.

    Attributes
    ----------
    section : str
        `SESSION`, `OWN`, `CONSTANTS`, or a weight stream's name.
    name : str
        What lies there, for people.
    offset, size : int
        From the section's first byte.
    """

    section: str
    name: str
    offset: int
    size: int

    def part(self, start, size=None):
        """Bytes from `start` on."""
        return replace(self, offset=self.offset + start, size=self.size - start if size is None else size)

    def meets(self, other):
        """Whether they have bytes in common."""
        return (self.section == other.section and self.offset < other.offset + other.size
            and other.offset < self.offset + self.size)

    @property
    def end(self):
        return self.offset + self.size


class Arena:
    """Places in a section, one behind the other.

    Attributes
    ----------
    places : dict of str → Place
    size : int
        Of all.
    """

    def __init__(self, section):
        self.section = section
        self.places  = {}
        self.size    = 0

    def add(self, name, size):
        """A new place of so many bytes, on a boundary of `ALIGN`."""
        place = self.places[name] = Place(self.section, name, self.size, size)
        self.size += aligned(size)
        return place

    def __getitem__(self, name):
        return self.places[name]
