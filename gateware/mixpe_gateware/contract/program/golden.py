# SPDX-License-Identifier: BSD-2-Clause
"""Golden vectors of builds with a decoder: each function of its engines and a run, on the bytes of a small memory."""

from dataclasses import replace

import numpy as np

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program import attention, vector
from mixpe_gateware.contract.program.execute import ProgramRunner
from mixpe_gateware.contract.program.memory import SessionMemory
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    COLUMNS,
    HAS_B,
    MEASURE,
    NARROW,
    NO_TOKEN,
    RECORD_BYTES,
    Function,
    Source,
)
from mixpe_gateware.contract.program.run import run_words
from mixpe_gateware.contract.program.state import VectorState
from mixpe_gateware.contract.program.words import header_words, heads_word, record_words, sealed

MEM_BYTES = 1 << 16
SESSION   = MEM_BYTES//2                  # the first byte of the session's memory
A, B, OUT, EXTRA = 0, 0x4000, SESSION, SESSION + 0x4000
KEYS, VALUES, SCALES = 0x2000, 0x5000, 0x7000
D, HEADS_ALL, KV_HEADS, CONTEXT = 32, 4, 2, 64
IDENTITY  = 0x1234ABCD


def _floats(integers, low, high, *shape):
    """Numbers of both signs with biased exponents low … high."""
    sign, exponent = integers.take(0, 1, *shape), integers.take(low, high, *shape)
    bits = sign << 31 | exponent << 23 | integers.take(0, 127, *shape) << 16 | integers.take(0, 65535, *shape)
    return bits.astype(np.uint32).view(np.float32)


def _bits(value):
    return int(np.float32(value).view(np.uint32))


def _put(data, address, array):
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
    data[address:address + raw.size] = raw


def _vector_records():
    """Records that use all that there is, and some that fail: (function, options, operands)."""
    here = {"a_addr": A, "b_addr": B, "out_addr": OUT, "extra_addr": EXTRA, "out_bytes": 0x4000, "n": 96, "rows": 3}
    mean = {"constant": _bits(1/96), "epsilon": _bits(1e-5)}
    head = {"n": D, "rows": HEADS_ALL}
    return [
        (Function.QUANT,  0,                {**here, "constant": 32}),
        (Function.QUANT,  NARROW,           {**here, "constant": 96}),
        (Function.ADD,    0,                here),
        (Function.ADD,    HAS_B | A_SCALED | MEASURE, here),
        (Function.ADD,    HAS_B | B_ONE_ROW | B_SCALED, {**here, "n": 32, "rows": 64}),
        (Function.NORM,   0,                {**here, **mean}),
        (Function.SILU,   0,                here),
        (Function.SILU,   A_SCALED | B_SCALED, here),
        (Function.ADD,    COLUMNS | HAS_B | A_SCALED | MEASURE, here),
        (Function.SILU,   COLUMNS | A_SCALED | B_SCALED, here),
        (Function.ROTATE, 0,                {**here, **head}),
        (Function.APPEND, A_SCALED,         {**here, **head, "pitch": CONTEXT*D, "pitch_2": 2*CONTEXT}),
        (Function.QUERY,  A_SCALED,         {**here, **head, "constant": _bits(0.255)}),
        (Function.SELECT, A_SCALED,         {**here, "rows": 1, "constant": 64}),
        (Function.SELECT, 0,                {**here, "rows": 1, "constant": 1, "out_addr": MEM_BYTES - 16}),
        (Function.ADD,    0,                {**here, "out_addr": MEM_BYTES - 256}),
        (Function.ADD,    0,                {**here, "out_addr": SESSION - 256}),
        (Function.ADD,    0,                {**here, "a_addr": MEM_BYTES - 256}),
        (Function.ADD,    0,                {**here, "out_bytes": 4*3*96 - 1}),
        (Function.ADD,    0,                {**here, "b_addr": 2, "a_addr": 2}),
        (Function.QUANT,  0,                {**here, "constant": 64}),
        (Function.QUERY,  0,                {**here, "n": 288}),
        (Function.ADD,    0,                {**here, "rows": 65}),
        (9,               0,                here),
    ]


def _vectors(integers, config):
    data  = np.zeros(MEM_BYTES, np.uint8)
    _put(data, A, _floats(integers, 112, 134, 2048))
    _put(data, B, _floats(integers, 120, 128, 2048))
    state, found = VectorState(), []
    for function, options, operands in _vector_records():
        words = record_words(Opcode.VECTOR, operands, function=function, options=options)
        code  = vector.execute(words[:12], SessionMemory(data, SESSION, MEM_BYTES - SESSION), config, state)
        found += [np.array([code], "<i4"), state.units.astype("<i4"), state.squares.astype("<f4")]
        found.append(data[SESSION:].copy())
    # A number that is none, and one that leaves FP32 by its unit.
    state.units[:] = 127
    for bits, options in ((0x7F800000, 0), (0x47800000, A_SCALED)):
        _put(data, A, np.array([bits], np.uint32))
        words = record_words(Opcode.VECTOR, {"a_addr": A, "out_addr": OUT, "n": 32, "rows": 1, "out_bytes": 128},
            function=Function.ADD, options=options)
        code  = vector.execute(words[:12], SessionMemory(data, SESSION, MEM_BYTES - SESSION), config, state)
        found.append(np.array([code], "<i4"))
    return b"".join(array.tobytes() for array in found)


def _attention(integers, config):
    data = np.zeros(MEM_BYTES, np.uint8)
    _put(data, A,      integers.take(-32767, 32767, HEADS_ALL, D).astype(np.int16))
    _put(data, 0x1000, integers.take(-12, -10, HEADS_ALL).astype(np.int32))
    _put(data, KEYS,   integers.take(-127, 127, KV_HEADS, CONTEXT, D).astype(np.int8))
    _put(data, VALUES, integers.take(-127, 127, KV_HEADS, CONTEXT, D).astype(np.int8))
    _put(data, SCALES, (integers.take(115, 125, 2, KV_HEADS, CONTEXT) << 7
        | integers.take(0, 127, 2, KV_HEADS, CONTEXT)).astype(np.uint16))
    good = {"keys_addr": KEYS, "a_addr": A, "out_addr": OUT, "positions": CONTEXT, "scales_addr": SCALES,
        "heads": heads_word(D, KV_HEADS, HEADS_ALL//KV_HEADS), "exponents_addr": 0x1000, "out_bytes": 4*HEADS_ALL*D,
        "values_addr": VALUES, "context": CONTEXT}
    changes = ({}, {"positions": 1}, {"window": 5}, {"window": 100, "positions": 33}, {"positions": CONTEXT + 1},
        {"positions": 0}, {"context": 65}, {"heads": heads_word(48, 2, 2)}, {"heads": heads_word(D, 0, 2)},
        {"keys_addr": KEYS + 2}, {"values_addr": MEM_BYTES - 256}, {"out_addr": VALUES}, {"out_bytes": 511},
        {"out_addr": MEM_BYTES - 256})
    found = []
    for change in changes:
        words = record_words(Opcode.ATTENTION, {**good, **change})
        code  = attention.execute(words[:12], SessionMemory(data, SESSION, MEM_BYTES - SESSION), config)
        found += [np.array([code], "<i4"), data[SESSION:].copy()]
    _put(data, 0x1000, np.full(HEADS_ALL, 30, np.int32))  # scores that are too large
    code = attention.execute(record_words(Opcode.ATTENTION, good)[:12],
        SessionMemory(data, SESSION, MEM_BYTES - SESSION), config)
    return b"".join(array.tobytes() for array in [*found, np.array([code], "<i4")])


def program():
    """A small program without weights: its logits are a row of a table, of the token's row and block."""
    row, block = 4*D, 8*4*D
    return [
        header_words(identity=IDENTITY, records=5, prompt_records=3, rows=1, token_records=3, context=CONTEXT,
            vocabulary=D, state_bytes=0x1000, end_0=1, end_1=NO_TOKEN, end_2=NO_TOKEN, end_3=NO_TOKEN),
        record_words(Opcode.VECTOR, {"a_addr": A, "b_addr": 0x400, "out_addr": 0, "n": D, "rows": 1, "out_bytes": row},
            relative=("out_addr", "b_addr"), function=Function.ADD, options=HAS_B, fence=1,
            patches=(("a_addr", Source.TOKEN_BLOCK, block), ("a_addr", Source.TOKEN_ROW, row),
                ("b_addr", Source.COUNT, row))),
        record_words(Opcode.GEMM, {"weights_addr": 64, "act_addr": 0, "out_addr": 0x800, "n": 8, "k": D, "m": 1,
            "flags": 0x17, "out_bytes": 32}, relative=("act_addr", "out_addr"), after_vector=1,
            patches=(("act_addr", Source.POSITION, 16),)),
        record_words(Opcode.VECTOR, {"a_addr": 0, "out_addr": 0x100, "n": D, "rows": 1, "constant": 1,
            "out_bytes": 32}, relative=("a_addr", "out_addr"), function=Function.SELECT, after_gemm=1,
            patches=(("constant", Source.LISTED, 3),)),
        record_words(Opcode.VECTOR, {"a_addr": 0, "out_addr": 0x400, "n": D, "rows": 1, "out_bytes": row},
            relative=("a_addr", "out_addr"), function=Function.ADD, after_vector=1,
            patches=(("out_addr", Source.POSITION, row),)),
    ]


SESSIONS = (SESSION + 0x1000, SESSION + 0x1800)  # of the rows of a batch
ROW_ROOM = 0x800


def batch_program():
    """Two rows: their logits are as `program`'s; each keeps them at its position of its own session."""
    row, block = 4*D, 8*4*D
    out   = {"n": D, "rows": 1, "out_bytes": row}
    first = program()[0]
    first[2], first[3], first[11], first[13], first[14] = 7, 7, 2, 2, ROW_ROOM
    return [
        first,
        record_words(Opcode.VECTOR, {"a_addr": A, "out_addr": 0, **out}, relative=("out_addr",), function=Function.ADD,
            fence=1, patches=(("a_addr", Source.TOKEN_BLOCK, block), ("a_addr", Source.TOKEN_ROW, row),
                ("out_addr", Source.ROW, row))),
        *[record_words(Opcode.VECTOR, {"a_addr": index*row, "out_addr": 0, **out}, relative=("a_addr", "out_addr"),
            function=Function.ADD, row=index, own=("out_addr",), patches=(("out_addr", Source.POSITION, row),))
            for index in range(2)],
        record_words(Opcode.GEMM, {"weights_addr": 64, "act_addr": 0, "out_addr": 0x800, "n": 8, "k": D, "m": 1,
            "flags": 0x17, "out_bytes": 32}, relative=("act_addr", "out_addr"), row=1, own=("act_addr",),
            after_vector=1, patches=(("act_addr", Source.COUNT, 16),)),
        *[record_words(Opcode.VECTOR, {"a_addr": index*row, "out_addr": 0x100 + 64*index, "n": D, "rows": 1,
            "constant": 1, "out_bytes": 32}, relative=("a_addr", "out_addr"), function=Function.SELECT,
            patches=(("constant", Source.LISTED, 3),)) for index in range(2)],
    ]


def _batches(data, load, run):
    """Runs of several sessions: as they should be, and refused."""
    def table(*rows):
        _put(data, SESSION + 0x2000, np.array([[*row, 0] for row in rows], np.uint32))

    good = (3, 0, SESSIONS[0]), (7, 5, SESSIONS[1])
    load(batch_program())
    for rows, change in ((good, {}), (good, {"count": 2, "listed": True, "position": 1}), (good[:1]*2, {}),
            (good, {"prompt": True}), (good, {"more": True}), (good, {"batch": False}),
            (good, {"tokens_addr": MEM_BYTES - 64}), ((good[0], (7, CONTEXT - 4, SESSIONS[1])), {}),
            ((good[0], (7, CONTEXT - 5, SESSIONS[1])), {}), ((good[0], (7, 5, SESSIONS[1] + 4)), {}),
            ((good[0], (7, 5, MEM_BYTES - 0x400)), {}), ((good[0], (D, 5, SESSIONS[1])), {}),
            ((good[0], (7, 40, SESSIONS[1])), {})):  # whose session has no such place
        table(*rows)
        run(**{"batch": True, **change})
    for index, word, value in ((2, 13, 2 << 8 | 0xF0), (2, 13, 0xF1), (4, 3, 0x10000), (5, 0, 5), (0, 14, 1 << 17)):
        changed = batch_program()
        changed[index][word] = value
        load(changed)
        table(*good)
        run(batch=True)


def _runs(integers, config):
    """Runs that end in every way, on the same memory: codes, registers, jobs, and the memory behind each."""
    data, jobs = np.zeros(MEM_BYTES, np.uint8), []
    _put(data, A, _floats(integers, 112, 134, D, D))
    at = 0x6000

    def gemm(job):
        jobs.append(job.words())
        return JobCode.OK

    def load(records):
        _put(data, at, np.array(sealed(records, IDENTITY), np.uint32))

    runner = ProgramRunner(config, data, gemm)
    good   = {"program_addr": at, "tokens_addr": SESSION + 0x2000, "state_addr": SESSION, "state_bytes": 0x1000,
        "token": 3, "position": 0, "identity": IDENTITY, "count": 5, "prompt": False, "tag": 0}
    found  = []

    def run(**change):
        code = runner.run(run_words(**{**good, **change}))
        found.append(np.array([code, runner.run_tokens, runner.run_record], "<i4"))
        found.append(data[SESSION:].copy())

    load(program())
    for change in ({}, {"listed": True, "count": 2}, {"prompt": True, "more": True, "count": 3},
            {"prompt": True, "count": 4, "position": 5},
            {"position": 9, "count": 1, "token": 31},
            {"program_addr": at + 1}, {"tokens_addr": SESSION + 2}, {"program_addr": MEM_BYTES - 32},
            {"state_addr": MEM_BYTES - 0x800}, {"tokens_addr": MEM_BYTES - 16}, {"count": 0},
            {"identity": IDENTITY + 1}, {"state_bytes": 0xFFC},
            {"position": CONTEXT - 4}, {"position": CONTEXT - 5}, {"token": D}):
        run(**change)
    for index, word, value in ((0, 2, 0), (0, 2, 4097), (0, 3, 6), (0, 0, 1), (1, 0, 5), (1, 14, 0x10C), (1, 14, 0x161),
            (2, 8, 0x801), (2, 7, 0x8000), (3, 4, 8), (4, 3, 0x10000)):
        changed = program()
        changed[index][word] = value
        load(changed)
        run()
    load(program())
    data[at + 2*RECORD_BYTES + 20] ^= 1
    run()
    load(program()[:1] + program()[1:3]*2)
    run()
    for rows, token_records, patch in ((3, 2, 0), (2, 3, Source.ROW << 4 | 3 | 128 << 8), (65, 2, 0), (0, 2, 0),
            (2, 4, 0), (2, 0, 0)):
        changed = program()
        changed[0][11], changed[0][13], changed[1][15] = rows, token_records, patch
        load(changed)
        for change in ({"prompt": True, "count": 6}, {"prompt": True, "count": 6, "more": True}, {}):
            run(**change)
    _batches(data, load, run)
    return b"".join(array.tobytes() for array in [*found, np.array(jobs, "<u4")])


def program_vectors(integers, configs):
    """All of them: an iterator of (name, bytes).

    Parameters
    ----------
    integers
        With `take(low, high, *shape)`.
    configs : list of Config
    """
    for config in configs:
        config = replace(config, decoder=True, context_max=CONTEXT)
        yield f"vector records {config.port_bits}", _vectors(integers, config)
        yield f"attention records {config.port_bits}", _attention(integers, config)
        yield f"runs {config.port_bits}", _runs(integers, config)
