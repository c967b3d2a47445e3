# SPDX-License-Identifier: BSD-2-Clause
"""The SoC of a board: its pins, clocks and memory, and a CPU only where the memory has to be trained."""

from litex.soc.cores.uart import UARTPHY

from mixpe.errors import ConfigError
from mixpe_boards.board import LINKS
from mixpe_gateware.soc import BaseSoC

MEMTEST_BYTES = 64*1024  # by the BIOS after training; the host's own test is longer


class BoardSoC(BaseSoC):
    """A LiteX SoC with the accelerator of a board.

    Parameters
    ----------
    board : Board
    link : str or None
        ``"uart"`` or ``"etherbone"``; None is the board's default.
    ip_address : str
        Of the Etherbone bridge.

    Raises
    ------
    ConfigError
        The board has no such link, or its memory's port is not `board.config.memory_bits` wide.
    """

    def __init__(self, board, *, link=None, ip_address="192.168.1.50"):
        link = link or board.links[0]
        if link not in LINKS or link not in board.links:
            raise ConfigError(f"{board.title} has no link {link!r}; it has {', '.join(board.links)}")
        platform = board.platform()
        # The console of the BIOS goes nowhere: its pins are the host link, and a full FIFO would stop the BIOS.
        super().__init__(platform, board.clock_hz, board.clocking(platform), ident=f"mixpe {board.name}",
            cpu_type="vexriscv" if board.cpu else None, console="stub")
        board.add_memory(self)
        if board.cpu:
            self.settle_memory("cpu", memtest_bytes=MEMTEST_BYTES)
        elif board.memory.kind == "sdr":
            self.settle_memory("host")
        if link == "uart":
            phy = UARTPHY(platform.request("serial"), board.clock_hz, board.baudrate)
            self.add_link(phy, registers=not board.config.is_shallow, framed=board.framed_on(link))
        else:
            board.add_etherbone(self, ip_address=ip_address)
        self.add_accelerator(board.config, target=board.target)
