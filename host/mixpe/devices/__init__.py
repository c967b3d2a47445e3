# SPDX-License-Identifier: BSD-2-Clause
"""Opening devices by URL."""

from mixpe.devices.device import Device
from mixpe.devices.linear import DeviceLinear
from mixpe.devices.opening import open_device

__all__ = ["Device", "DeviceLinear", "open_device"]
