# SPDX-License-Identifier: BSD-2-Clause
"""Programs: what a device does between a token and the next one, as records in its memory.

    records   the words of a record and their fields, by opcode; the header
    run       the descriptor that starts a program
"""
