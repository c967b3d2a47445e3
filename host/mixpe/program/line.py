# SPDX-License-Identifier: BSD-2-Clause
"""A record with places instead of addresses."""

from dataclasses import dataclass, field

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.records import Function


@dataclass(frozen=True)
class Patch:
    """source·stride is added to a word.

    Attributes
    ----------
    word : str
        By its name.
    source : Source
    stride : int
    """

    word: str
    source: int
    stride: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """A record to be.

    Attributes
    ----------
    name : str
        Where in the model it is.
    opcode : Opcode
    operands : dict of str → int or Place
        Words by their names.
    reads, writes : tuple of Place
        All that it touches, for any token and position.
    function, options : int
        Of VECTOR.
    patches : tuple of Patch
    row : int, optional
        Of a batch, whose position and session it takes.
    """

    name: str
    opcode: int
    operands: dict
    reads: tuple
    writes: tuple
    function: int = 0
    options: int = 0
    patches: tuple = field(default=())
    row: int | None = None

    @property
    def mnemonic(self):
        """What it does, in a word."""
        return Function(self.function).name if self.opcode == Opcode.VECTOR else Opcode(self.opcode).name


def vector(name, function, *, a, out, n, rows=1, b=None, options=0, patches=(), also=(), touches=None, row=None,
           **operands):
    """A VECTOR line.

    Parameters
    ----------
    a, b, out : Place
        Their sizes are what is read and written.
    also : tuple of (str, Place)
        Second results by their words.
    touches : Place, optional
        What may be written for some token or position; default: `out`.
    row : int, optional
        See `Line`.
    operands
        Other words.
    """
    words = {"a_addr": a, "out_addr": out, "n": n, "rows": rows, "out_bytes": out.size, **dict(also), **operands}
    if b is not None:
        words["b_addr"] = b
    reads, writes = tuple(each for each in (a, b) if each is not None), tuple(place for _, place in also)
    return Line(name=name, opcode=Opcode.VECTOR, function=function, options=options, operands=words, patches=patches,
        reads=reads, writes=(touches or out, *writes), row=row)
