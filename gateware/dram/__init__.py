# SPDX-License-Identifier: BSD-2-Clause
"""Around LiteDRAM: initialisation without a CPU."""

from mixpe.gateware.dram.init import DRAMInit, add_dram_init

__all__ = ["DRAMInit", "add_dram_init"]
