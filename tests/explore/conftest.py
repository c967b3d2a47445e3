# SPDX-License-Identifier: BSD-2-Clause
"""A cache of its own for the tests of the cost flow."""

import pytest

from mixpe.explore.cost.cache import Cache


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path/"cache")
