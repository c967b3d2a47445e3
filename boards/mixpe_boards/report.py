# SPDX-License-Identifier: BSD-2-Clause
"""What nextpnr reports, in the same words for all families; and the slack that Vivado reports."""

import json
import re
from pathlib import Path

from mixpe.errors import ToolError

# Our name: cells that count for it.
CELLS = {
    "lut":   ("TRELLIS_COMB", "ICESTORM_LC", "LUT4"),
    "ff":    ("TRELLIS_FF", "DFF"),
    "bram":  ("DP16KD", "ICESTORM_RAM", "BSRAM"),
    "dsp":   ("MULT18X18D", "ICESTORM_DSP", "MULT18X18", "DSP"),
    "spram": ("ICESTORM_SPRAM",),
}
WITH_FF = re.compile(r"(\d+) LCs used as (?:LUT4 and DFF|DFF only)")


def utilisation(report, log=""):
    """Used and available cells.

    Parameters
    ----------
    report : dict
    log : str
        What nextpnr said. On iCE40 a logic cell is LUT and flip-flop in one, and the report counts cells alone; the log
        says how many of them hold a flip-flop.

    Returns
    -------
    dict of str to [used, available]
    """
    found = report.get("utilization", {})
    result = {}
    for name, cells in CELLS.items():
        counts = [found[cell] for cell in cells if cell in found]
        if counts:
            result[name] = [sum(count["used"] for count in counts), sum(count["available"] for count in counts)]
        elif name == "ff" and "ICESTORM_LC" in found and WITH_FF.search(log):
            result[name] = [sum(map(int, WITH_FF.findall(log))), found["ICESTORM_LC"]["available"]]
    return result


def clocks(report):
    """Clocks with what was reached and what was asked: dict of str to (achieved MHz, asked MHz)."""
    return {name: (values["achieved"], values["constraint"]) for name, values in report.get("fmax", {}).items()}


def system_clock(report, clock_hz):
    """Slowest of the clocks that were asked to run at the system clock (or the 1:1 clock nearest to it), in MHz.

    Raises
    ------
    ToolError
        nextpnr timed no clock.
    """
    timed = clocks(report)
    if not timed:
        raise ToolError("nextpnr's report has no clock: the design was not timed")
    distance = min(abs(asked - clock_hz/1e6) for _, asked in timed.values())
    return min(reached for reached, asked in timed.values() if abs(asked - clock_hz/1e6) - distance < 0.01)


def failing(report, clock_hz):
    """Clocks that miss what was asked, and the system clock where it is slower than `clock_hz`: dict like `clocks`.

    What was asked alone does not decide: without a constraint nextpnr asks 12 MHz of a clock.
    """
    missed  = {name: (reached, asked) for name, (reached, asked) in clocks(report).items() if reached < asked}
    reached = system_clock(report, clock_hz)
    if reached < clock_hz/1e6 and reached not in [known for known, _ in missed.values()]:
        missed["the system clock"] = (reached, clock_hz/1e6)
    return missed


def read_report(path):
    """nextpnr's JSON report.

    Raises
    ------
    ToolError
        It is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolError(f"nextpnr left no report at {path}: {error}") from error


def vivado_slack(text):
    """Worst negative slack in ns of Vivado's timing report: negative where timing is not met.

    Raises
    ------
    ToolError
        The report has no summary.
    """
    match = re.search(r"WNS\(ns\)[^\n]*\n[\s-]*\n\s*(-?\d+\.\d+)", text)
    if match is None:
        raise ToolError("Vivado's timing report has no summary with WNS(ns): the design was not timed")
    return float(match.group(1))
