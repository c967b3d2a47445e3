# SPDX-License-Identifier: BSD-2-Clause
"""Mutants that no test can see, and why: by file, and text before and after."""

ARGUED = {}
