# SPDX-License-Identifier: BSD-2-Clause
"""What each record waits for, from what it and those before it read and write."""

from mixpe_gateware.contract.descriptor import Opcode

AFTER = {Opcode.GEMM: "after_gemm", Opcode.VECTOR: "after_vector", Opcode.ATTENTION: "after_attention"}


def _conflict(line, before):
    """Whether a line must not begin before an earlier one has ended."""
    return any(mine.meets(theirs) for mine in line.reads for theirs in before.writes) or any(
        mine.meets(theirs) for mine in line.writes for theirs in (*before.reads, *before.writes))


def fences(lines):
    """Fields of each record's first word: list of dict of str → 1.

    Records begin in order, so what one waited for has ended for all behind it. The first one waits for everything: the
    pass before it.

    Parameters
    ----------
    lines : list of Line
    """
    found   = [{"fence": 1}]
    pending = {opcode: [] for opcode in AFTER}  # lines that may not have ended
    pending[lines[0].opcode].append(lines[0])
    for line in lines[1:]:
        waits = [opcode for opcode, earlier in pending.items() if any(_conflict(line, each) for each in earlier)]
        for opcode in waits:
            pending[opcode].clear()
        found.append({AFTER[opcode]: 1 for opcode in waits})
        pending[line.opcode].append(line)
    return found
