# SPDX-License-Identifier: BSD-2-Clause
"""What is said of the last seconds: sums of a device's counters between two readings, and nothing once they are old."""

import time
from types import SimpleNamespace

import pytest

from mixpe.serve import figures
from mixpe.serve.figures import WINDOW_S, Figures


class Device:
    """Counters that go on by 10 and 4 with each reading."""

    def __init__(self):
        self.cycles = self.sent = 0

    def counters(self):
        self.cycles += 10
        return {"cycles": self.cycles}

    def link_bytes(self):
        self.sent += 4
        return {"sent": self.sent, "received": 0}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set, for this module alone: threads of others go by the real one."""
    now = [1000.0]
    monkeypatch.setattr(figures, "time", SimpleNamespace(**vars(time) | {"monotonic": lambda: now[0]}))
    return now


def test_the_window_ends_with_the_last_reading_and_goes_when_that_is_old(clock):
    kept = Figures(Device())
    assert kept.snapshot()["window"] is None  # one reading
    clock[0] += 2
    kept.read()
    window = kept.snapshot()["window"]
    assert (window["seconds"], window["counters"], window["link"]["sent"]) == (2, {"cycles": 10}, 4)
    clock[0] += WINDOW_S
    assert kept.snapshot()["window"] == window
    clock[0] += 0.5
    idle = kept.snapshot()
    assert idle["window"] is None and idle["counters"] == {"cycles": 20}  # sums stay
    kept.read()
    assert kept.snapshot()["window"]["counters"] == {"cycles": 10}     # from the reading before it


def test_without_a_device_there_is_no_window(clock):
    kept = Figures(None)
    kept.read()
    found = kept.snapshot()
    assert found["window"] is None and found["counters"] is None and "device_total" not in kept.prometheus(0, 0)
