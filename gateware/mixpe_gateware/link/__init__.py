# SPDX-License-Identifier: BSD-2-Clause
"""Bridges from a host link to the SoC's bus and memory."""

from mixpe_gateware.link.attach import add_link
from mixpe_gateware.link.bridge import LinkBridge
from mixpe_gateware.link.deframer import wide_layout
from mixpe_gateware.link.memory import MemoryPath

__all__ = ["LinkBridge", "MemoryPath", "add_link", "wide_layout"]
