# SPDX-License-Identifier: BSD-2-Clause
"""The sequencer: it runs programs from memory, between the host's queue and the engines.

    words      regions of memory as 32-bit words
    loader     records as they lie in memory, one ahead, and their check words
    patcher    records as the engines are to see them: patched, moved into the session's memory, held against it
    issue      records and the host's jobs to the engines, each when its fences allow, and how they ended
    tokens     ids of tokens to memory
    rows       tokens, positions and sessions of a batch
    run        what a RUN is made of: its header, its passes, its end
    sequencer  all of them
"""
