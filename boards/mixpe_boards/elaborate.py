# SPDX-License-Identifier: BSD-2-Clause
"""Write the Verilog and build files of a board: ``python -m mixpe_boards.elaborate options.json``.

Runs in a process of its own: LiteX changes the working directory, keeps state in classes, and looks for CPUs in the
folder it is started in.
"""

import json
import sys
from pathlib import Path

from litex.soc.integration.builder import Builder

from mixpe_boards.adapt import adapt_synthesis
from mixpe_boards.registry import find_board
from mixpe_boards.soc import BoardSoC
from mixpe_gateware.control.csr_map import complete_csr_maps
from mixpe_gateware.soc.savefile import write_savefile

BUILD_NAME = "top"  # of LiteX's own files; the bitstream gets its name at the end


def elaborate(board, folder, *, link=None, ip_address="192.168.1.50", software=True, seed=1, savefile=False):
    """Make the SoC and write Verilog, constraints, tool scripts and register maps.

    Parameters
    ----------
    board : Board
    folder : Path
    software : bool
        Compile the BIOS, where the board has a CPU. Without it the ROM is empty: for looking at the Verilog only.
    seed : int
        Of the placer.
    savefile : bool
        Write GTKWave's savefile too, for a simulation of the Verilog.
    """
    soc = BoardSoC(board, link=link, ip_address=ip_address)
    builder = Builder(soc, output_dir=str(folder), csr_json=str(Path(folder, "csr.json")),
        csr_svd=str(Path(folder, "soc.svd")),
        compile_software=software and board.cpu, compile_gateware=False)
    options = {"build_name": BUILD_NAME, "run": False}
    if board.is_open:
        options["seed"] = seed
    names = builder.build(**options)
    complete_csr_maps(builder)
    if savefile:
        write_savefile(soc, names, Path(folder, f"{BUILD_NAME}.gtkw"), dump=f"{BUILD_NAME}.vcd",
            prefix=f"{BUILD_NAME}.")
    if board.is_open:
        adapt_synthesis(Path(builder.gateware_dir), BUILD_NAME)
    return soc


def main():
    """Read the options, elaborate."""
    options = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    board = find_board(options.pop("board")).changed(**options.pop("changes"))
    elaborate(board, **options)


if __name__ == "__main__":
    main()
