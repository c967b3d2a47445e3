# SPDX-License-Identifier: BSD-2-Clause
"""The vector engine: what a decoder computes between its linear layers, one float32 element a cycle.

Arithmetic is that of `contract.decoder`, to the bit. Everything but the readers and the writer is a pipeline without
enables: an element sets out when its result has a place behind.
"""
