# SPDX-License-Identifier: BSD-2-Clause
"""Simulated SoCs for the tests: built once, in the user's cache."""

import pytest

from mixpe.link import open_link
from mixpe_sim import open_sim


def pytest_configure(config):
    """Name the marker of tests that build a SoC of their own, minutes each."""
    config.addinivalue_line("markers", "slow: builds a simulation of its own")


@pytest.fixture(scope="module")
def sdr():
    """SDR memory, no accelerator: the smallest SoC."""
    with open_sim(memory="sdr", accelerator=False, show=True) as process:
        yield process


@pytest.fixture
def link(sdr):
    with open_link(sdr.url) as opened:
        yield opened
