# SPDX-License-Identifier: BSD-2-Clause
"""Commands at a real terminal: prompts with history and completion."""

import fcntl
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import termios
import time

import pytest

LIMIT_S = 60
UP      = "\x1b[A"
PROMPT  = r"layer\(.*\r\n>>> $"  # after what `open` says first
# The report of a turn and the next prompt: a key that comes before the prompt meets a terminal that still reads whole
# lines, and means another thing there.
ANSWERED = r"\[\d tokens, [\d.,]+ a second; the first after [\d.e-]+ s\]\s+> $"


class Terminal:
    """A command at a pseudo-terminal: what is typed, and all that it shows."""

    def __init__(self, arguments, environment, columns=80):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._file = ours
        self.shown = ""
        self._at   = 0
        self.process = subprocess.Popen([sys.executable, "-m", "mixpe", *arguments], stdin=theirs, stdout=theirs,
            stderr=theirs, start_new_session=True, env={**os.environ, "TERM": "xterm",
            "PYTHONPATH": os.pathsep.join(sys.path), **environment})
        os.close(theirs)

    def type(self, text):
        os.write(self._file, text.encode())

    def wait_for(self, pattern):
        """Read until what is new matches; returns the match."""
        end = time.monotonic() + LIMIT_S
        while True:
            found = re.search(pattern, self.shown[self._at:])
            if found:
                self._at += found.end()
                return found
            left = end - time.monotonic()
            assert left > 0 and select.select([self._file], [], [], left)[0], f"no {pattern!r} in {self.shown!r}"
            try:
                self.shown += os.read(self._file, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended without {pattern!r}: {self.shown!r}") from None

    def end(self):
        """Read to the end, and wait for the command: its exit status."""
        end = time.monotonic() + LIMIT_S
        try:
            while select.select([self._file], [], [], max(0, end - time.monotonic()))[0]:
                self.shown += os.read(self._file, 4096).decode(errors="replace")
        except OSError:  # nobody is at the other end
            pass
        try:
            return self.process.wait(LIMIT_S)
        finally:
            os.close(self._file)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def terminal(tmp_path):
    """Starts a command with a home of its own."""
    started = []

    def start(*arguments, **environment):
        started.append(Terminal(arguments, {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path/"state"),
            **environment}))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_open_completes_names_and_keeps_its_lines(terminal, tmp_path):
    first = terminal("open", "reference")
    first.wait_for(PROMPT)
    first.type("mixpe.\t\t")  # all of them
    first.wait_for("LlamaModel(?s:.+)quantize_activations(?s:.+)mixpe\\.$")
    first.type("__vers\t")
    first.wait_for("__version__")
    first.type("+ 'th'\r")
    first.wait_for(r"'[\d.]+th'\r")
    first.wait_for(">>> $")
    first.type("\x04")
    first.wait_for("closed")
    assert first.end() == 0
    kept = tmp_path/"state"/"mixpe"/"open_history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    second = terminal("open", "reference")
    second.wait_for(PROMPT)
    second.type(UP)
    second.wait_for(r"mixpe\.__version__\+ 'th'")
    second.type("\r")
    second.wait_for(r"'[\d.]+th'\r")
    second.wait_for(">>> $")
    second.type("\x04")
    assert second.end() == 0


def test_chat_keeps_what_is_typed_and_says_its_speed(terminal, talker, tmp_path):
    arguments = ("chat", "--model", str(talker), "--device", "none", "--tokens", "4")
    first = terminal(*arguments)
    first.wait_for("leaves, .*\r\n> $")
    first.type("hello\r")
    first.wait_for(ANSWERED)
    first.type("/exit\r")
    assert first.end() == 0
    kept = tmp_path/"state"/"mixpe"/"chat_history"
    assert kept.read_text() == "hello\n/exit\n" and stat.S_IMODE(kept.stat().st_mode) == 0o600
    second = terminal(*arguments, "--no-history")
    second.wait_for("leaves, .*\r\n> $")
    second.type(UP + "there\r")
    second.wait_for(ANSWERED)
    second.type(UP + "\r")
    second.wait_for("there\r")
    second.wait_for(ANSWERED)
    second.type("\x04")
    assert second.end() == 0 and "hello" not in second.shown
    assert kept.read_text() == "hello\n/exit\n"


def test_open_without_a_home_that_can_be_written(terminal, tmp_path):
    (tmp_path/"state").write_text("a file")
    one = terminal("open", "reference")
    one.wait_for(PROMPT)
    one.type("1+41000\r")
    one.wait_for("41001\r\n>>> $")
    one.type("\x04")
    assert one.end() == 0
