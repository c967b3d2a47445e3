# SPDX-License-Identifier: BSD-2-Clause
"""Quantised matrices and how they are made: round to nearest and GPTQ."""
