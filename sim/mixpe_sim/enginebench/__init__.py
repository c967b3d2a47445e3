# SPDX-License-Identifier: BSD-2-Clause
"""One engine alone in Verilator with a memory behind its ports: records in, codes out, random stalls everywhere."""

from mixpe_sim.enginebench.run import EngineBench

__all__ = ["EngineBench"]
