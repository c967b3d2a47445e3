# SPDX-License-Identifier: BSD-2-Clause
"""Starting a program that runs beside this one, waiting for it with a limit, and stopping it."""

import os
import signal
import subprocess
import threading
from contextlib import contextmanager

from mixpe.errors import ToolError
from mixpe.tools.programs import search_path

STOP_LIMIT_S = 5.0


def start_tool(command, folder, output=None, *, environment=None, pass_fds=(), foreground=False):
    """Start a program.

    Parameters
    ----------
    command : list of str
        Its path and arguments.
    folder : path or None
        Working directory.
    output : file, optional
        Where both of its streams go; None drops them.
    environment : dict of str, optional
        Added to ours.
    pass_fds : iterable of int
        File descriptors that it inherits.
    foreground : bool
        It shares our terminal: input, output and Ctrl-C. In the background it has a session of its own.

    Returns
    -------
    subprocess.Popen

    Raises
    ------
    ToolError
        It cannot be started.
    """
    output = None if foreground else subprocess.DEVNULL if output is None else output
    try:
        return subprocess.Popen(command, cwd=folder, env={**os.environ, "PATH": search_path(), **(environment or {})},
                                stdin=None if foreground else subprocess.DEVNULL, stdout=output,
                                stderr=None if foreground else subprocess.STDOUT, pass_fds=pass_fds,
                                start_new_session=not foreground)
    except OSError as error:
        raise ToolError(f"cannot run {command[0]}: {error}") from error


def wait_tool(process, limit_s=None):
    """Exit status of a program; None when the limit came first."""
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None


def stop_tool(process, limit_s=STOP_LIMIT_S):
    """Ask a program to end; kill it when it does not within the limit."""
    if process.poll() is None:
        process.terminate()
        if wait_tool(process, limit_s) is None:
            process.kill()
            process.wait()


def stop_group(process):
    """Kill a program of the background with all that it started, unless it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def deferred_signals():
    """SIGTERM and SIGHUP of this process wait for the end of the block: a list of those that have come.

    Python runs no ``finally`` on them, and a program of the background has a session of its own, so it would go on.
    """
    caught  = []
    is_main = threading.current_thread() is threading.main_thread()  # no other may set handlers
    taken   = [number for number in (signal.SIGTERM, signal.SIGHUP)
               if is_main and signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, lambda number, _frame: caught.append(number))
    try:
        yield caught
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
        if caught:
            os.kill(os.getpid(), caught[0])
