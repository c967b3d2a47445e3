# SPDX-License-Identifier: BSD-2-Clause
"""What would make a model fit that does not: each offer is computed and fits."""

import importlib
from dataclasses import replace

from mixpe.errors import ModelMemoryError
from mixpe.lm.fit import Space, job_plans, residence, stream_bytes
from mixpe.program.jobs import HEAD
from mixpe.terminal import size_text

FORMS = ((8, 32), (8, 64), (8, 128), (4, 32), (4, 64), (4, 128), (4, 256))  # bits and group size, the best first
NAMED = 4  # boards


def _all_bytes(plans):
    return sum(stream_bytes(job) for job in plans.values())


def _head(parts, rounding, space, wide):
    """The best form of the head with which everything fits."""
    now = _all_bytes(job_plans(parts, rounding, space.config, wide))
    for bits, group_size in FORMS:
        plans = job_plans(parts, replace(rounding, head=(bits, group_size)), space.config, wide)
        if space.holds(plans):
            less = size_text(now - _all_bytes(plans))
            how  = f"head_bits={bits}, head_group_size={group_size}"
            return [f"an output head of {bits} bits in groups of {group_size}, with {less} less ({how})"]
    return []


def _whole(parts, rounding, space, wide):
    """The best form of weights that are stored as floats with which everything fits."""
    if not any(part.stored is None for some in parts.values() for part in some):
        return []
    for bits, group_size in FORMS:
        if space.holds(job_plans(parts, replace(rounding, bits=bits, group_size=group_size), space.config, wide)):
            return [f"weights of {bits} bits in groups of {group_size} (bits={bits}, group_size={group_size})"]
    return []


def _boards(parts, rounding, wide):
    """Boards with the least memory that holds everything."""
    try:
        boards = importlib.import_module("mixpe_boards.registry").BOARDS.values()
    except ModuleNotFoundError:
        return []
    spaces  = [(board.memory.size_bytes, board) for board in boards]
    fitting = [f"{board.name} ({size_text(size)})" for size, board in sorted(spaces, key=lambda pair: pair[0])
        if Space.of_size(board.config, size).holds(job_plans(parts, rounding, board.config, wide))]
    more = f" and {len(fitting) - NAMED} more" if len(fitting) > NAMED else ""
    return [f"a board with more memory: {', '.join(fitting[:NAMED])}{more}"] if fitting else []


def _streaming(space, plans):
    found = residence(space, plans)
    if found is None:
        return []
    sent = size_text(found.streamed_bytes)
    return [f"sending {len(found.streamed)} of {len(plans)} layers anew for every token, {sent} (stream=True)"]


def refuse(parts, rounding, space, wide):
    """Raise `ModelMemoryError` if a model does not fit.

    Parameters
    ----------
    parts : dict of job → list of Part
    rounding : Rounding
    space : Space
    wide : bool
        Activations are FP16.
    """
    plans = job_plans(parts, rounding, space.config, wide)
    if space.holds(plans):
        return
    offers = []
    if HEAD in parts:
        offers += _head(parts, rounding, space, wide)
    offers += _whole(parts, rounding, space, wide) + _boards(parts, rounding, wide) + _streaming(space, plans)
    needed, free = space.needed_bytes(plans), space.free_bytes
    lack = (f"{size_text(needed - free)} too little" if needed > free else
        "enough, but in pieces: free layers that are not used")
    ways = f"What fits: {'; or '.join(offers)}" if offers else "Nothing that is known here would make it fit"
    raise ModelMemoryError(f"the model needs {size_text(needed)} of the device's memory; of its "
        f"{size_text(space.total_bytes)}, {size_text(free)} are free: {lack}. {ways}", needed, free, tuple(offers))
