# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator alone in Verilator, driven from Python: fast enough to fuzz, with random stalls on every port."""

from mixpe_sim.harness.build import build_harness
from mixpe_sim.harness.run import Harness, HarnessError

__all__ = ["Harness", "HarnessError", "build_harness"]
