# SPDX-License-Identifier: BSD-2-Clause
"""Reading a cell of Yosys' JSON: its pins and parameters, and a named error for what is not simulated."""

from dataclasses import dataclass

from mixpe_gateware.contract.errors import MixpeError


class NotSimulated(MixpeError):
    """A netlist has a cell, or a cell with parameters, that is not simulated."""


@dataclass(frozen=True)
class Cell:
    """A cell with its pins' bits, buffers and sources of constants already seen through.

    `used` : the bits of the netlist that something reads.
    """

    name: str
    kind: str
    pins: dict
    parameters: dict
    used: frozenset

    def read(self, port, index=0):
        """The bit of an output; None where nothing reads it."""
        bits = self.pins.get(port, ())
        return bits[index] if index < len(bits) and bits[index] in self.used else None


def bit(cell, port, missing="0"):
    """The one bit of a pin; `missing` where it is not connected."""
    bits = cell.pins.get(port)
    return bits[0] if bits else missing


def number(cell, name):
    """A parameter as an integer: bits in text, unknown ones zero; 0 where it is missing."""
    text = str(cell.parameters.get(name, "0"))
    return int(text.replace("x", "0").replace("z", "0") or "0", 2)


def constant(cell, port):
    """The value of a pin that must be constant; one that is not connected is zero.

    Raises
    ------
    NotSimulated
    """
    found = bit(cell, port)
    if found not in ("0", "1", "x", "z"):
        refuse(cell, f"a pin {port} that is not constant")
    return found == "1"


def expect(cell, **wanted):
    """Refuse a cell with another value of a parameter; one that is missing is 0, or the text that is wanted.

    Raises
    ------
    NotSimulated
    """
    for name, value in wanted.items():
        found = number(cell, name) if isinstance(value, int) else cell.parameters.get(name, value)
        if found != value:
            refuse(cell, f"{name} {found}, only {value}")


def refuse(cell, what):
    """Raise the error of a cell that is not simulated with that.

    Raises
    ------
    NotSimulated
    """
    raise NotSimulated(f"{cell.kind} {cell.name} is not simulated with {what}")
