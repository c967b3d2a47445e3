# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of a compiled program on a device that need not be there."""

from mixpe.program.assemble import assemble
from mixpe.program.place import CONSTANTS
from mixpe_gateware.contract.program.timing import pass_timeline

NOTHING = "no record"


def timeline(program, config, memory, position=0, *, prompt=False):
    """A pass at a position, the last token's where there are several, or every row's of a batch.

    Parameters
    ----------
    program : Program
    config : Config
    memory : MemoryTiming
    position : int
    prompt : bool
        Of a pass whose successor is known.

    Returns
    -------
    Timeline
    """
    words, _ = assemble(program, dict.fromkeys((CONSTANTS, *program.matrices), 0))  # cycles do not depend on places
    records  = program.prompt_lines if prompt else len(program.lines)
    return pass_timeline(words[1:records + 1].tolist(), config, memory, position, rows=program.rows,
        token_records=program.token_lines, batch=program.own is not None)


def by_function(program, found):
    """Where a pass's cycles go, by what its records do: dict of name → cycles, the most first.

    Parameters
    ----------
    program : Program
    found : Timeline
    """
    shares = found.shares(lambda span: NOTHING if span is None else program.lines[span.record - 1].mnemonic)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def to_dict(program, config, memory, position):
    """For JSON: cycles of a pass, of the array's work, and by what records do."""
    found = timeline(program, config, memory, position)
    return {"modelled": True, "position": position, "tokens": program.rows, "cycles": round(found.cycles),
        "array": found.array,
        "by_function": {name: round(cycles) for name, cycles in by_function(program, found).items()}}


def text(cycles):
    """What `to_dict` made, as a line for people."""
    parts = ", ".join(f"{name} {spent:,}" for name, spent in cycles["by_function"].items())
    what  = "the token at" if cycles["tokens"] == 1 else f"{cycles['tokens']} tokens, the last of a prompt, up to"
    return f"modelled: {cycles['cycles']:,} cycles for {what} position {cycles['position']}: {parts}"
