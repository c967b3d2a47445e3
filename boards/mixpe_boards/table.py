# SPDX-License-Identifier: BSD-2-Clause
"""The boards and the results of their builds as a table. Results are kept in ``results.json`` beside this file."""

import json
from pathlib import Path

from mixpe.errors import ConfigError
from mixpe.terminal import paragraph, table
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.digest import digest

RESULTS = Path(__file__).with_name("results.json")
LINK_NAMES = {"uart": "UART", "etherbone": "Etherbone"}
COLUMNS = ("board", "FPGA", "memory", "MB/s", "link", "array", "MHz", "status")


def load_results(path=RESULTS):
    """Results of earlier builds: dict of `result_key` to report. Empty when there are none.

    Raises
    ------
    ConfigError
        The file is damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigError(f"{path} is no JSON: {error}") from error


def result_key(board, link=None):
    """Name of a build among the results: the board, and its link where that is not the board's first."""
    return board.name if link in (None, board.links[0]) else f"{board.name} {link}"


def _is_current(board, result, link):
    try:
        config = Config(**result.get("config"))  # a parameter that was not there yet has its default
    except (TypeError, ConfigError):
        return False
    made = (config, result.get("clock_hz"), result.get("contract_digest"), result.get("framed", False))
    return made == (board.config, board.clock_hz, f"{digest(board.config.parts):016x}",
        board.framed_on(link))


def current_result(board, results, link=None):
    """What is known of the board as it is: None where nothing is, or of another array, clock or contract."""
    known = results.get(result_key(board, link))
    return known if known is not None and _is_current(board, known, link) else None


def status(board, results, link=None):
    """What is known of a board's bitstream, in a few words."""
    known = current_result(board, results, link)
    if known is None:
        return "elaborates" if board.is_open else "elaborates; bitstream needs Vivado"
    if known.get("error"):
        return f"not routed: {known['error']}"
    if known["timing_met"]:
        return f"routed, {known['fmax_mhz']:.1f} MHz"
    return f"routed, too slow: {known['fmax_mhz']:.1f} MHz"


def _status_of_links(board, results):
    """Of the first link, and of the others that were routed."""
    others = [f"{link}: {status(board, results, link)}" for link in board.links[1:]
              if current_result(board, results, link)]
    return "; ".join([status(board, results), *others])


def board_rows(results=None):
    """One dict a board, ready for JSON. Its ``results`` has a dict for each link that it was routed with."""
    results = load_results() if results is None else results
    rows = []
    for board in BOARDS.values():
        kept = [(link, results[result_key(board, link)]) for link in board.links if result_key(board, link) in results]
        rows.append({
            "board": board.name, "title": board.title, "fpga": board.fpga, "toolchain": board.toolchain,
            "memory": board.memory.text, "memory_bytes": board.memory.size_bytes, "memory_mbps": board.memory_mbps,
            "links": list(board.links), "baudrate": board.baudrate, "array": board.config.name,
            "macs_per_cycle": board.macs_per_cycle, "clock_hz": board.clock_hz, "cpu": board.cpu, "note": board.note,
            "status": _status_of_links(board, results),
            "results": [{**result, "link": link, "current": _is_current(board, result, link)} for link, result in kept],
        })
    return rows


def _cells(row):
    return (row["board"], row["fpga"], row["memory"], f"{row['memory_mbps']:.0f}", "+".join(row["links"]),
            f"{row['array']} = {row['macs_per_cycle']}", f"{row['clock_hz']/1e6:g}", row["status"])


def text_table(rows):
    """For a terminal."""
    notes = [paragraph(f"{row['board']}: {row['note']}", "  ") for row in rows if row["note"]]
    return "\n".join([table(COLUMNS, [_cells(row) for row in rows], "<<<><<><", wrap=(7,)), "",
        "array: rows x lanes = MACs a cycle; MB/s: peak of the memory's pins", *notes])


def _share(result, name):
    if name not in result.get("utilisation", {}):
        return "-"
    used, available = result["utilisation"][name]
    return f"{used} ({100*used/available:.0f} %)"


def markdown_table(rows):
    """For the documentation: what was routed. A link other than the board's first stands behind the board."""
    head = ("board", "FPGA", "array", "LUT", "FF", "block RAM", "DSP", "clock MHz", "fmax MHz", "seed", "result")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|"*len(head)]
    for row, result in [(board, result) for board in rows for result in board["results"]]:
        title = row["title"] if result["link"] == row["links"][0] else f"{row['title']}, {LINK_NAMES[result['link']]}"
        shape = f"{result['config']['rows']}x{result['config']['port_bits']//4}"
        fmax  = f"{result['fmax_mhz']:.1f}" if "fmax_mhz" in result else "-"
        words = result.get("error") or ("timing met" if result["timing_met"] else "too slow")
        if not result["current"]:
            words += "; of an earlier array, link, clock or contract"
        cells = (title, row["fpga"], shape, *(_share(result, name) for name in ("lut", "ff", "bram", "dsp")),
                 f"{result['clock_hz']/1e6:g}", fmax, str(result["seed"]), words)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
