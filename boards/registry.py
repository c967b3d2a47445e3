# SPDX-License-Identifier: BSD-2-Clause
"""The boards by name. A new board is a file beside this one and a line here."""

from mixpe.boards.acorn import ACORN, LITEFURY
from mixpe.boards.arty_a7 import ARTY_A7
from mixpe.boards.colorlight import COLORLIGHT_I5, COLORLIGHT_I9
from mixpe.boards.ecpix5 import ECPIX5
from mixpe.boards.icebreaker import ICEBREAKER
from mixpe.boards.nexys_video import NEXYS_VIDEO
from mixpe.boards.orangecrab import ORANGECRAB
from mixpe.boards.tang_nano_20k import TANG_NANO_20K
from mixpe.boards.tang_primer_20k import TANG_PRIMER_20K
from mixpe.boards.ulx3s import ULX3S
from mixpe.boards.versa_ecp5 import VERSA_ECP5
from mixpe.errors import ConfigError

BOARDS = {board.name: board for board in (
    ULX3S, COLORLIGHT_I5, COLORLIGHT_I9, ORANGECRAB, ECPIX5, VERSA_ECP5, TANG_NANO_20K, TANG_PRIMER_20K, ICEBREAKER,
    ARTY_A7, NEXYS_VIDEO, ACORN, LITEFURY)}


def find_board(name):
    """The board of that name; hyphens and capitals do not matter.

    Raises
    ------
    ConfigError
        No such board; the message lists the names.
    """
    key = str(name).strip().lower().replace("-", "_")
    if key not in BOARDS:
        raise ConfigError(f"unknown board {name!r}; there are {', '.join(BOARDS)}")
    return BOARDS[key]
