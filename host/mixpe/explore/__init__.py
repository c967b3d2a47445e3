# SPDX-License-Identifier: BSD-2-Clause
"""Exploration: which design, at which shape, on which device, gives what fidelity for what cost."""
