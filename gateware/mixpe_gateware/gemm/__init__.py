# SPDX-License-Identifier: BSD-2-Clause
"""The shift-add GEMM engine, a stage a file."""
