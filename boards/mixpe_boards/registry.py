# SPDX-License-Identifier: BSD-2-Clause
"""The boards by name. A new board is a file beside this one and a line here."""

from mixpe.errors import ConfigError
from mixpe_boards.acorn import ACORN, LITEFURY
from mixpe_boards.arty_a7 import ARTY_A7
from mixpe_boards.colorlight import COLORLIGHT_I5, COLORLIGHT_I9
from mixpe_boards.ecpix5 import ECPIX5
from mixpe_boards.icebreaker import ICEBREAKER
from mixpe_boards.nexys_video import NEXYS_VIDEO
from mixpe_boards.orangecrab import ORANGECRAB
from mixpe_boards.tang_nano_20k import TANG_NANO_20K
from mixpe_boards.tang_primer_20k import TANG_PRIMER_20K
from mixpe_boards.ulx3s import ULX3S
from mixpe_boards.versa_ecp5 import VERSA_ECP5

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
