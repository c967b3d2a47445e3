# SPDX-License-Identifier: BSD-2-Clause
"""What a unit costs on an FPGA: synthesis, placement and routing with the open tools, cached by content."""

from mixpe.explore.cost.flow import Cost, measure
from mixpe.explore.cost.targets import TARGETS

__all__ = ["TARGETS", "Cost", "measure"]
