# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator alone in Verilator, driven from Python: fast enough to fuzz, with random stalls on every port."""

from mixpe.sim.harness.build import build_harness
from mixpe.sim.harness.run import Harness, HarnessError

__all__ = ["Harness", "HarnessError", "build_harness"]
