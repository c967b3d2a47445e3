# SPDX-License-Identifier: BSD-2-Clause
"""Words of a program, once its sections have addresses."""

import zlib

import numpy as np

from mixpe.program.fences import fences
from mixpe.program.place import OWN, SESSION, Place
from mixpe_gateware.contract.program.records import NO_TOKEN
from mixpe_gateware.contract.program.words import header_words, record_words, sealed

ENDS = 4  # ids that a header has


def _record(line, waits, addresses):
    operands, relative, own = {}, [], []
    for name, value in line.operands.items():
        if isinstance(value, Place):
            counts = value.section in (SESSION, OWN)  # from a memory that RUN names
            relative += [name]*counts
            own      += [name]*(value.section == OWN)
            value = value.offset + (0 if counts else addresses[value.section])
        operands[name] = value % (1 << 32)  # what patches are added to may be below zero
    op = {"function": line.function, "options": line.options} if line.function or line.options else {}
    return record_words(line.opcode, operands, relative=tuple(relative), row=line.row, own=own, **op, **waits,
        patches=tuple((patch.word, patch.source, patch.stride) for patch in line.patches))


def assemble(program, addresses, ends=(), salt=b""):
    """Words of a program.

    Parameters
    ----------
    program : Program
    addresses : dict of section → int
        Of constants and all matrices.
    ends : iterable of int
        Tokens that end a text; at most four are taken.
    salt : bytes
        What the program's identity is of, beside its words: weights and contract.

    Returns
    -------
    words : (records, 16) uint32
    identity : int
    """
    found = sorted(ends)[:ENDS]
    ids   = {f"end_{index}": token for index, token in enumerate(found + [NO_TOKEN]*(ENDS - len(found)))}
    header = header_words(records=program.records, prompt_records=program.prompt_lines + 1,
        context=program.context, vocabulary=program.architecture.vocab_size,
        state_bytes=program.session.size, session_bytes=program.own.size if program.own else 0, rows=program.rows,
        token_records=program.token_lines + 1, **ids)
    records  = [_record(line, waits, addresses)
        for line, waits in zip(program.lines, fences(program.lines), strict=True)]
    identity = zlib.crc32(np.array([header, *records], "<u4").tobytes() + salt)
    header[1] = identity
    return np.array(sealed([header, *records], identity), np.uint32), identity
