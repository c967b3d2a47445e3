# SPDX-License-Identifier: BSD-2-Clause
"""What a prompt at a terminal has where Python was built with readline: editing, a history that is kept, completion."""

import importlib
import importlib.util
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

KEPT_LINES = 1000


def history_file(name):
    """Where the lines of a prompt are kept: $XDG_STATE_HOME/mixpe/NAME_history, else in ~/.local/state."""
    root = os.environ.get("XDG_STATE_HOME") or Path.home()/".local"/"state"
    return Path(root)/"mixpe"/f"{name}_history"


def _readline():
    if not (sys.stdin.isatty() and importlib.util.find_spec("readline")):
        return None
    return importlib.import_module("readline")


def _write(readline, path):
    """Keep the lines, readable by their owner alone; a folder that cannot be written costs the history only."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        readline.set_history_length(KEPT_LINES)
        readline.write_history_file(path)


@contextmanager
def line_editing(history=None, names=None):
    """Give `input` its line editing while the block runs; nothing where standard input is no terminal.

    Parameters
    ----------
    history : Path, optional
        Lines are read from here and kept here. Without it they are forgotten.
    names : dict, optional
        What the Tab key completes: Python's names and their attributes.
    """
    readline = _readline()
    if readline is None:
        yield
        return
    if history is not None:
        with suppress(OSError):
            readline.read_history_file(history)
    if names is not None:
        completer = importlib.import_module("rlcompleter").Completer(names)
        readline.set_completer(completer.complete)
        libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(None)
        if history is not None:
            _write(readline, history)
