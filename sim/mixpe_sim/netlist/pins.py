# SPDX-License-Identifier: BSD-2-Clause
"""What a netlist's pins are for, board by board, and which cells cannot be simulated as they are."""

from dataclasses import dataclass

from mixpe.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Pins:
    """Names of a board's pins in its netlist.

    Parameters
    ----------
    clock : str
        Runs at the system clock.
    high : tuple of str
        Inputs that rest at one; the others rest at zero.
    family : str
        Folder of the cell models in Yosys.
    own : dict of str → str
        Cell → Verilog that stands for its model.
    """

    clock: str
    high: tuple = ()
    family: str
    own: dict


ICE40_PLL = """\
module SB_PLL40_PAD #(
  parameter FEEDBACK_PATH = "", parameter DIVR = 0, parameter DIVF = 0, parameter DIVQ = 0, parameter FILTER_RANGE = 0
) (input PACKAGEPIN, input RESETB, output PLLOUTGLOBAL, output LOCK);
  assign PLLOUTGLOBAL = PACKAGEPIN;
  assign LOCK         = RESETB;
endmodule
"""

PINS = {
    "icebreaker": Pins(clock="clk12", high=("user_btn_n",), family="ice40", own={"SB_PLL40_PAD": ICE40_PLL}),
}


def pins_of(name):
    """The pins of a board.

    Raises
    ------
    ConfigError
        Its netlist is not simulated.
    """
    if name not in PINS:
        raise ConfigError(f"netlists of {', '.join(PINS)} are simulated, not of {name!r}")
    return PINS[name]
