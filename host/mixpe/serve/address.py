# SPDX-License-Identifier: BSD-2-Clause
"""Addresses to listen on."""

import ipaddress


def is_loopback(host):
    """Whether an address to listen on is this machine's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
