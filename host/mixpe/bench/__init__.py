# SPDX-License-Identifier: BSD-2-Clause
"""Benchmarks: cycles of layers on a device, held against what the memory gives and what the model predicts."""
