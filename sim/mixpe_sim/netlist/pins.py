# SPDX-License-Identifier: BSD-2-Clause
"""What a netlist's pins are for, board by board."""

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
        Folder of the cell models in Yosys, and our file of those that stand for some of them.
    sdram : str
        How the names of the pins of an SDR memory begin; "" where there is none.
    """

    clock: str
    high: tuple = ()
    family: str
    sdram: str = ""


PINS = {
    "icebreaker":    Pins(clock="clk12", high=("user_btn_n",), family="ice40"),
    "colorlight_i5": Pins(clock="clk25", high=("cpu_reset_n",), family="ecp5", sdram="sdram_"),
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
