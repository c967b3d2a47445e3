# SPDX-License-Identifier: BSD-2-Clause
"""A layer cut into jobs, without a device."""
