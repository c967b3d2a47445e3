# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of the link to a device: URLs, transports and the UARTBone protocol."""

from mixpe.link.base import Link
from mixpe.link.open import open_link
from mixpe.link.uartbone import UartBoneLink
from mixpe.link.url import DeviceUrl, parse_url

__all__ = ["DeviceUrl", "Link", "UartBoneLink", "open_link", "parse_url"]
