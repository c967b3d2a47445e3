# SPDX-License-Identifier: BSD-2-Clause
"""Bridges from a host link to the SoC's bus and memory."""
