# SPDX-License-Identifier: BSD-2-Clause
"""Boards: what is on them, the SoC they carry, and how its bitstream is made and loaded."""

from mixpe_boards.board import Board
from mixpe_boards.registry import BOARDS, find_board

__all__ = ["BOARDS", "Board", "find_board"]
