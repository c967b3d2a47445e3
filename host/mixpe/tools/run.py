# SPDX-License-Identifier: BSD-2-Clause
"""Running a program to its end: limited in time, with what it started; failures as named errors with its last words."""

import os
import re
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from mixpe.tools.errors import DoesNotFit, NotMeasured, ToolCrash, ToolTimeout
from mixpe.tools.programs import find_tool
from mixpe.tools.service import deferred_signals, start_tool, stop_group, wait_tool

POLL_S     = 0.5
TAIL_LINES = 3
TAIL_CHARS = 400
ERROR = re.compile(r"ERROR|[Ee]rror:")
FIT   = re.compile(r"(?i)unable to (?:place|find legal placement)|no more .* available|failed to find a placement"
                   r"|no bels? (?:remaining|available)|exceed|too many|failed to (?:expand|place)|not enough")
FITTERS = ("nextpnr", "vivado")


def run_tool(name, arguments, folder, limit_s, *, what=None, log=None, report=None):
    """Run a program in a folder and return what it printed, both streams in one.

    Parameters
    ----------
    name : str
        See `find_tool`.
    arguments : list
        Words, and what `str` makes words of.
    folder : path or None
        Working directory.
    limit_s : float
        When it has not ended by then, it is killed with all that it started.
    what : str, optional
        Stage, for messages.
    log : path, optional
        The command and its output are appended to this file.
    report : callable, optional
        Called without arguments twice a second.

    Returns
    -------
    str

    Raises
    ------
    ToolMissing, ToolTimeout
    ToolCrash
        It ended with an error; the message has the lines that name one, or its last.
    DoesNotFit
        So said a placer.
    NotMeasured
        No time at all was given.
    """
    if limit_s <= 0:
        raise NotMeasured(f"{name} was not allowed to run")
    command = [find_tool(name), *map(str, arguments)]
    title   = f"{what}: {Path(name).name}" if what else Path(name).name
    with ExitStack() as stack:
        if log:
            output = stack.enter_context(open(log, "a+b"))
            output.write(f"$ {name} {' '.join(command[1:])}\n".encode())
            output.flush()
        else:
            output = stack.enter_context(tempfile.TemporaryFile())
        start = output.seek(0, os.SEEK_END)
        code  = _wait(command, folder, output, limit_s, report)
        output.seek(start)
        text = output.read().decode(errors="replace")
    place = f"; all of its output is in {log}" if log else ""
    if code is None:
        raise ToolTimeout(f"{title} did not finish within {limit_s:g} s{place}")
    if code:
        words = last_words(text)
        error = DoesNotFit if name.startswith(FITTERS) and FIT.search(words) else ToolCrash
        raise error(f"{title} ended with {code}: {words}{place}", code, text)
    return text


def _wait(command, folder, output, limit_s, report):
    """Exit status of a command; None when it had to be killed."""
    end = time.monotonic() + limit_s
    with deferred_signals() as caught:
        process = start_tool(command, folder, output)
        try:
            while (left := end - time.monotonic()) > 0 and not caught:
                code = wait_tool(process, min(POLL_S, left))
                if code is not None:
                    return code
                if report:
                    report()
        finally:
            stop_group(process)
    return None


def last_words(text):
    """One line of an output: its last lines with an error, or else its last lines."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(([line for line in lines if ERROR.search(line)] or lines)[-TAIL_LINES:])[-TAIL_CHARS:]
