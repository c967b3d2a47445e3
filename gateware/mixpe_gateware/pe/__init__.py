# SPDX-License-Identifier: BSD-2-Clause
"""Processing elements that the SoC's array can have."""
