# SPDX-License-Identifier: BSD-2-Clause
"""The device in numpy, to the bit."""
