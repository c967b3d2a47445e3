# SPDX-License-Identifier: BSD-2-Clause
"""What the cells of all families are made of: tables, carry bits, flip-flops, and blocks with a state of their own.

A bit is what Yosys' JSON names a net with: an integer, or one of the constants ``"0"``, ``"1"``, ``"x"``, ``"z"``. All
streams are simulated side by side: a net's value is an integer with one bit a stream, all of them ``ones`` (``M`` in
the expressions).
"""

from dataclasses import dataclass

from mixpe.explore.activity.weights import CARRY, FLIP_FLOP, LUT, SUM


def table_expression(init, inputs):
    """Python expression of a truth table for bit-parallel integers, all streams ``M``.

    Parameters
    ----------
    init : int
        Truth table; bit i of its index is the i-th input.
    inputs : list of str
        Expressions without side effects.

    Returns
    -------
    str
    """
    rows = 1 << len(inputs)
    if init in (0, (1 << rows) - 1):
        return "M" if init else "0"
    *rest, last = inputs
    half = 1 << len(rest)
    low, high = init & (1 << half) - 1, init >> half
    if low == high:
        return table_expression(low, rest)
    if low ^ high == (1 << half) - 1:
        return last if low == 0 else f"({table_expression(low, rest)} ^ {last})"
    zero, one = table_expression(low, rest), table_expression(high, rest)
    if low == 0:
        return f"({one} & {last})"
    if high == 0:
        return f"({zero} & ~{last})"
    if one == "M":
        return f"({zero} | {last})"
    if zero == "M":
        return f"({one} | M ^ {last})"
    return f"({zero} & ~{last} | {one} & {last})"


@dataclass(frozen=True)
class Alias:
    """A net that is another one, or a constant: buffers of pins, sources of constants."""

    output: object
    source: object


@dataclass(frozen=True)
class Table:
    """A LUT, or anything else without a state and with one output: bit i of the index into `init` is `inputs[i]`."""

    output: object
    init: int
    inputs: tuple
    weight: float = LUT

    @property
    def outputs(self):
        return (self.output,)

    def lines(self, pin, drive):
        """Lines of Python: `pin` makes a bit an expression, `drive` a statement that gives it a value."""
        return [drive(self.output, table_expression(self.init, [pin(bit) for bit in self.inputs]), self.weight)]


@dataclass(frozen=True)
class CarryBit:
    """One place of a carry chain: sum = p ^ carry_in; carry_out = carry_in where p, else g.

    `propagate` and `generate` are (init, inputs) of tables; `total` and `carry_out` are None where nobody reads them.
    """

    propagate: tuple
    generate: tuple
    carry_in: object
    total: object
    carry_out: object
    sum_weight: float = SUM
    carry_weight: float = CARRY

    @property
    def inputs(self):
        return (*self.propagate[1], *self.generate[1], self.carry_in)

    @property
    def outputs(self):
        return tuple(bit for bit in (self.total, self.carry_out) if bit is not None)

    def lines(self, pin, drive):
        """As `Table.lines`."""
        propagate, generate = (table_expression(init, [pin(bit) for bit in inputs])
                               for init, inputs in (self.propagate, self.generate))
        found = [f"c = {pin(self.carry_in)}", f"p = {propagate}"]
        if self.carry_out is not None:
            found.append(f"g = {generate}")  # before the sum, which may not be one of its inputs but may be its net
        if self.total is not None:
            found.append(drive(self.total, "p ^ c", self.sum_weight))
        if self.carry_out is not None:
            found.append(drive(self.carry_out, "g & ~p | p & c", self.carry_weight))
        return found


@dataclass(frozen=True)
class FlipFlop:
    """Rising edge; `enable` and `reset` are (bit, inverted) or None; the reset is synchronous.

    `reset_first` : the reset acts without the enable too. `value` : what the reset sets, all streams or none.
    `start` : at power-up.
    """

    output: object
    data: object
    enable: tuple | None = None
    reset: tuple | None = None
    reset_first: bool = True
    value: int = 0
    start: int = 0
    weight: float = FLIP_FLOP


class Block:
    """A cell with a state of its own.

    Attributes
    ----------
    inputs, outputs : sequence
        Bits of its combinational part, if it has one.
    clocks : float
        Clock pins that count each cycle.
    """

    inputs, outputs, clocks = (), (), 0

    def evaluate(self, values, ones):
        """Put the combinational outputs into `values`; returns the weighted toggles, over all streams."""
        return 0.0

    def clock(self, values, ones):
        """The clock's edge: weighted toggles inside, and the outputs it drives as (bit, value, weight)."""
        return 0.0, ()
