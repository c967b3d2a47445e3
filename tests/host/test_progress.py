# SPDX-License-Identifier: BSD-2-Clause
"""Progress bars: on a terminal, with rate and time left; nothing when piped."""

import io
from types import SimpleNamespace

import pytest

from mixpe import progress
from mixpe.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    now = [100.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_nothing_when_piped(clock):
    stream = io.StringIO()
    with Progress("upload", 100, "B", stream) as bar:
        clock[0] += 10
        bar.advance(50)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("columns, bar", [(40, 6), (80, 42), (120, 60), (300, 60)])
def test_the_bar_follows_the_width(clock, monkeypatch, columns, bar):
    stream = Terminal()
    with Progress("upload", 4_000_000, "B", stream) as progress:
        for now in (columns, 60, columns):  # the window changes
            monkeypatch.setenv("COLUMNS", str(now))
            clock[0] += 2
            progress.advance(0)
            line = stream.getvalue().rpartition("\r")[2]
            assert len(line) < now
        assert len(line.partition("]")[0].partition("[")[2]) == bar, line


def test_short_work_shows_nothing(clock):
    stream = Terminal()
    with Progress("upload", 100, "B", stream) as bar:
        clock[0] += 0.4
        bar.advance(100)
    assert stream.getvalue() == ""


def test_share_rate_and_time_left(clock):
    stream = Terminal()
    with Progress("upload", 4_000_000, "B", stream) as bar:
        clock[0] += 2
        bar.advance(1_000_000)
        line = stream.getvalue()
        assert "upload [##########  " in line and " 25%" in line and "500 kB/s" in line and "0:06 left" in line
    assert stream.getvalue().endswith("\r")


def test_redraws_are_limited(clock):
    stream = Terminal()
    with Progress("upload", 1000, "B", stream) as bar:
        clock[0] += 1
        for _ in range(500):
            clock[0] += 0.001
            bar.advance(1)
    assert stream.getvalue().count("upload") < 10


def test_no_work_and_too_much(clock):
    stream = Terminal()
    with Progress("x", 0, "B", stream) as bar:
        clock[0] += 1
        bar.at(0)
        clock[0] += 1
        bar.at(5)
    assert "100%" in stream.getvalue()
