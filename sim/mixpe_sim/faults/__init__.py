# SPDX-License-Identifier: BSD-2-Clause
"""Faults on the link between the real driver and a device: `python -m mixpe_sim.faults --help`."""

from mixpe_sim.faults.fault import KINDS, Fault, random_fault
from mixpe_sim.faults.proxy import Proxy

__all__ = ["KINDS", "Fault", "Proxy", "random_fault"]
