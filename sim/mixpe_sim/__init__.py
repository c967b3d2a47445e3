# SPDX-License-Identifier: BSD-2-Clause
"""The SoC in Verilator: built once, cached, started and stopped as a process."""

from mixpe_sim.build import build_sim
from mixpe_sim.options import SimOptions
from mixpe_sim.process import SimProcess, open_sim

__all__ = ["SimOptions", "SimProcess", "build_sim", "open_sim"]
