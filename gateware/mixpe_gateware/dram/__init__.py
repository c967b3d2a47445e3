# SPDX-License-Identifier: BSD-2-Clause
"""Around LiteDRAM: initialisation without a CPU."""

from mixpe_gateware.dram.host_init import InitRegisters, add_host_init
from mixpe_gateware.dram.init import DRAMInit, add_dram_init

__all__ = ["DRAMInit", "InitRegisters", "add_dram_init", "add_host_init"]
