# SPDX-License-Identifier: BSD-2-Clause
"""What the simulated SoC and those of all boards have in common."""

from mixpe_gateware.soc.base import BaseSoC
from mixpe_gateware.soc.pool import add_pool

__all__ = ["BaseSoC", "add_pool"]
