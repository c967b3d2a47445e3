# SPDX-License-Identifier: BSD-2-Clause
"""ECP5 carry chains whose cells do more than add.

A CCU2C holds two cells. Each computes, with INIT as a truth table over A (bit 0 of its index) to D (bit 3),

    propagate = INIT[A, B, C, D]       generate = INIT[A, B, 0, 0]
    S = propagate ^ carry in           carry out = propagate ? carry in : generate

So a cell adds two bits p and q where p is any function of A and B, and q any function of A to D that is 0 when C and D
are 0: the propagate is p ^ q, and where that is 0 the carry is p. Gates, inverters and multiplexers in front of an
adder then cost no LUT. `add_cell` checks that condition.

Adders that end in `stop()` can follow each other in one chain: the stop cell gives the carry as a sum bit and passes 0
on. Two adders of odd length then need no padding.
"""

from migen import Constant, Instance, Module, Signal, wrap


def truth_table(propagate):
    """INIT of a cell from a Python function of (a, b, c, d) giving 0 or 1."""
    init = 0
    for index in range(16):
        a, b, c, d = (index >> bit & 1 for bit in range(4))
        init |= (int(propagate(a, b, c, d)) & 1) << index
    return init


def add_cell(p, q):
    """INIT of a cell that adds bits p(a, b) and q(a, b, c, d).

    Raises
    ------
    ValueError
        When the cell cannot do it: q must be 0 where c = d = 0.
    """
    for a in (0, 1):
        for b in (0, 1):
            if q(a, b, 0, 0):
                raise ValueError(f"second operand is 1 at a={a}, b={b}, c=d=0: this cell's carry would be wrong")
    return truth_table(lambda a, b, c, d: p(a, b) ^ q(a, b, c, d))


def carry_cell(generate, kill):
    """INIT of a cell whose carry out, with carry in 0 and d tied to 1, is generate(a, b) and not kill(a, b, c)."""
    return truth_table(lambda a, b, c, d: generate(a, b) & (kill(a, b, c) if d else 1))


STOP = 0x0000


class CarryChain(Module):
    """Cells in the order of the carry.

    Attributes
    ----------
    cells : int
        How many there are; the chain occupies 2·ceil(cells/2) LUTs.
    """

    def __init__(self):
        self.cells = 0
        self._pending = []

    def cell(self, init, a=0, b=0, c=0, d=0):
        """Append one cell and return its sum bit."""
        s = Signal()
        self._pending.append((init, a, b, c, d, s))
        self.cells += 1
        return s

    def stop(self):
        """Append the cell that ends an adder: its sum bit is the carry, and 0 is passed on."""
        return self.cell(STOP)

    def do_finalize(self):
        carry = Constant(0, 1)
        cells = list(self._pending)
        if len(cells) % 2:
            cells.append((STOP, 0, 0, 0, 0, Signal()))
        for index, (low, high) in enumerate(zip(cells[0::2], cells[1::2], strict=True)):
            ports = {"i_CIN": carry}
            if 2*index + 2 < len(cells):  # the last one has nowhere to go
                carry = Signal()
                ports["o_COUT"] = carry
            for half, (_, a, b, c, d, s) in enumerate((low, high)):
                ports |= {f"i_{port}{half}": wrap(value)
                          for port, value in zip("ABCD", (a, b, c, d), strict=True)}
                ports[f"o_S{half}"] = s
            self.specials += Instance("CCU2C",
                p_INIT0=Instance.PreformattedParam(f"16'h{low[0]:04x}"),
                p_INIT1=Instance.PreformattedParam(f"16'h{high[0]:04x}"),
                p_INJECT1_0="NO", p_INJECT1_1="NO", **ports)
