# SPDX-License-Identifier: BSD-2-Clause
"""Programs: what a device does between a token and the next one, as records in its memory.

    records    the words of a record and their fields, by opcode; the header
    run        the descriptor that starts a program
    memory     what a program may read and write
    state      what the vector engine keeps between records
    vector     what a VECTOR record does to the memory
    attention  what an ATTENTION record does to it
    execute    what a RUN does: passes, patches, addresses, the token that follows
    timing     cycles of a pass
"""
