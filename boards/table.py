# SPDX-License-Identifier: BSD-2-Clause
"""The boards and the results of their builds as a table. Results are kept in ``results.json`` beside this file."""

import json
from pathlib import Path

from mixpe.boards.registry import BOARDS
from mixpe.errors import ConfigError

RESULTS = Path(__file__).with_name("results.json")
COLUMNS = ("board", "FPGA", "memory", "MB/s", "link", "array", "MHz", "status")


def load_results(path=RESULTS):
    """Results of earlier builds: dict of board name to report. Empty when there are none.

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


def status(board, results):
    """What is known of a board's bitstream, in a few words; results of another array or clock say nothing."""
    known = results.get(board.name)
    if known is None or (known["config"], known["clock_hz"]) != (board.config.to_dict(), board.clock_hz):
        return "elaborates" if board.is_open else "elaborates; bitstream needs Vivado"
    if known.get("error"):
        return f"not routed: {known['error']}"
    if known["timing_met"]:
        return f"routed, {known['fmax_mhz']:.1f} MHz"
    return f"routed, too slow: {known['fmax_mhz']:.1f} MHz"


def board_rows(results=None):
    """One dict a board, ready for JSON."""
    results = load_results() if results is None else results
    rows = []
    for board in BOARDS.values():
        rows.append({
            "board": board.name, "title": board.title, "fpga": board.fpga, "toolchain": board.toolchain,
            "memory": board.memory, "memory_mbps": board.memory_mbps, "links": list(board.links),
            "baudrate": board.baudrate, "array": board.config.name, "macs_per_cycle": board.macs_per_cycle,
            "clock_hz": board.clock_hz, "cpu": board.cpu, "note": board.note, "status": status(board, results),
            "result": results.get(board.name),
        })
    return rows


def _cells(row):
    return (row["board"], row["fpga"], row["memory"], f"{row['memory_mbps']:.0f}", "+".join(row["links"]),
            f"{row['array']} = {row['macs_per_cycle']}", f"{row['clock_hz']/1e6:g}", row["status"])


def text_table(rows):
    """For a terminal."""
    table  = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(COLUMNS))]
    lines  = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    notes  = [f"{row['board']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([*lines, "", "array: rows x lanes = MACs a cycle; MB/s: peak of the memory's pins", *notes])


def _share(result, name):
    if name not in result.get("utilisation", {}):
        return "-"
    used, available = result["utilisation"][name]
    return f"{used} ({100*used/available:.0f} %)"


def markdown_table(rows):
    """For the documentation: what was routed."""
    head = ("board", "FPGA", "array", "LUT", "FF", "block RAM", "DSP", "clock MHz", "fmax MHz", "seed", "result")
    lines = ["| " + " | ".join(head) + " |", "|" + "---|"*len(head)]
    for row in rows:
        result = row["result"]
        if result is None:
            continue
        shape  = f"{result['config']['rows']}x{result['config']['port_bits']//4}"
        fmax   = f"{result['fmax_mhz']:.1f}" if "fmax_mhz" in result else "-"
        words  = result.get("error") or ("timing met" if result["timing_met"] else "too slow")
        cells  = (row["title"], row["fpga"], shape, *(_share(result, name) for name in ("lut", "ff", "bram", "dsp")),
                  f"{result['clock_hz']/1e6:g}", fmax, str(result["seed"]), words)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
