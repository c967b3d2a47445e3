# SPDX-License-Identifier: BSD-2-Clause
"""Marks of the boards' tests."""


def pytest_configure(config):
    """Name the mark here too, so that these tests run alone without a warning."""
    config.addinivalue_line("markers", "slow: takes a minute or more")
