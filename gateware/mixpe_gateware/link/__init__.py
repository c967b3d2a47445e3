# SPDX-License-Identifier: BSD-2-Clause
"""Bridges from a host link to the SoC's bus and memory."""

from mixpe_gateware.link.bridge import LinkBridge, add_link
from mixpe_gateware.link.deframer import wide_layout

__all__ = ["LinkBridge", "add_link", "wide_layout"]
