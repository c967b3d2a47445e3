# SPDX-License-Identifier: BSD-2-Clause
"""Programs on bytes: each function against the decoder's arithmetic, each code, and runs however they are cut."""

from dataclasses import replace

import numpy as np
import pytest

from mixpe_gateware.contract import narrow, wide
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.decoder.attention import attention as attend
from mixpe_gateware.contract.decoder.cache import append
from mixpe_gateware.contract.decoder.float32 import add, raised
from mixpe_gateware.contract.decoder.norm import rms_norm
from mixpe_gateware.contract.decoder.rope import rotate
from mixpe_gateware.contract.decoder.swiglu import silu_multiply
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.digest import compute_digest
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.layout import unpack_shifts
from mixpe_gateware.contract.program import attention, execute, golden, vector
from mixpe_gateware.contract.program.execute import ProgramRunner
from mixpe_gateware.contract.program.memory import SessionMemory
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    COLUMNS,
    HAS_B,
    HEADER,
    MEASURE,
    NARROW,
    RECORD_BYTES,
    Function,
    Source,
)
from mixpe_gateware.contract.program.run import run_words
from mixpe_gateware.contract.program.state import VectorState
from mixpe_gateware.contract.program.words import heads_word, record_words, sealed

CONFIG = Config(rows=2, port_bits=64, k_max=512, decoder=True, context_max=128)
SIZE   = 1 << 18
START  = 1 << 17   # of the session's memory
A, B   = 0, 1 << 15
OUT, EXTRA = START, START + (1 << 16)


class Bench:
    """A memory of random bytes, an engine's registers, and records run on both."""

    def __init__(self, seed=0, config=CONFIG):
        self.rng    = np.random.default_rng(seed)
        self.config = config
        self.data   = self.rng.integers(0, 256, SIZE).astype(np.uint8)
        self.state  = VectorState()
        self.memory = SessionMemory(self.data, START, SIZE - START)

    def put(self, address, array):
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.data[address:address + raw.size] = raw
        return array

    def floats(self, address, *shape, scale=1.0):
        return self.put(address, (self.rng.normal(size=shape)*scale).astype(np.float32))

    def vector(self, function, options=0, **operands):
        """Run a record; returns its code, and where the memory changed."""
        before = self.data.copy()
        operands = {"a_addr": A, "b_addr": B, "out_addr": OUT, "extra_addr": EXTRA, "out_bytes": 1 << 16} | operands
        words = record_words(Opcode.VECTOR, operands, function=function, options=options)
        code  = vector.execute(words[:12], self.memory, self.config, self.state)
        return code, np.flatnonzero(before != self.data)

    def found(self, address, dtype, *shape):
        return self.memory.array(address, dtype, shape)


def bits(value):
    return int(np.float32(value).view(np.uint32))


@pytest.mark.parametrize("rows, n", [(1, 32), (3, 96), (64, 40)])
def test_sums_and_norms(rows, n):
    bench = Bench(n)
    a, b, weight = bench.floats(A, rows, n), bench.floats(B, rows, n), bench.floats(B + 0x4000, n)
    bench.state.units[:] = np.arange(64) % 20 - 10
    scaled = raised(a, bench.state.units[:rows, None])
    code, changed = bench.vector(Function.ADD, HAS_B | A_SCALED | MEASURE, n=n, rows=rows)
    x = add(scaled, b)
    assert code == JobCode.OK and changed.min() >= OUT and changed.max() < OUT + 4*rows*n
    np.testing.assert_array_equal(bench.found(OUT, np.float32, rows, n), x)
    code, _ = bench.vector(Function.NORM, n=n, rows=rows, a_addr=OUT, b_addr=B + 0x4000, out_addr=EXTRA,
        constant=bits(1/n), epsilon=bits(1e-5))
    assert code == JobCode.OK
    np.testing.assert_array_equal(bench.found(EXTRA, np.float32, rows, n), rms_norm(x, weight, 1e-5))
    for options, other in ((0, None), (HAS_B | B_ONE_ROW, b[:1]), (HAS_B | B_SCALED, b)):
        assert bench.vector(Function.ADD, options, n=n, rows=rows)[0] == JobCode.OK
        if options & B_SCALED:
            other = raised(b, bench.state.units[:rows, None])
        np.testing.assert_array_equal(bench.found(OUT, np.float32, rows, n), a if other is None else add(a, other))


@pytest.mark.parametrize("n, group", [(32, 32), (96, 32), (256, 128), (96, 96)])
@pytest.mark.parametrize("form", [wide, narrow])
def test_activations_are_those_that_a_gemm_takes(form, n, group):
    bench, rows, groups = Bench(n + group), 3, n//group
    x = bench.floats(A, rows, n, scale=1e-3)
    x[1] = bench.put(A + 4*n, np.zeros(n, np.float32))
    code, changed = bench.vector(Function.QUANT, NARROW if form is narrow else 0, n=n, rows=rows, constant=group)
    codes, shifts, unit = form.align(x, group)
    codes = wide.split(codes) if form is wide else codes
    each  = len(codes)//rows
    assert code == JobCode.OK and changed.max() < OUT + each*rows*(n + 8*-(-groups//8))
    np.testing.assert_array_equal(bench.found(OUT, np.int8, each*rows, n), codes)
    table = bench.data[OUT + each*rows*n:][:each*rows*8*-(-groups//8)]
    np.testing.assert_array_equal(unpack_shifts(table, each*rows, groups, CONFIG), np.repeat(shifts, each, axis=0))
    assert not table.reshape(each*rows, -1)[:, groups:].any()
    np.testing.assert_array_equal(np.ldexp(np.float32(1), bench.state.units[:rows]), unit)


def test_gates_and_turns():
    bench = Bench(5)
    a, b = bench.floats(A, 2, 160, scale=4), bench.floats(B, 2, 160)
    bench.state.units[:2] = 1, -2
    assert bench.vector(Function.SILU, A_SCALED, n=160, rows=2)[0] == JobCode.OK
    np.testing.assert_array_equal(bench.found(OUT, np.float32, 2, 160),
        silu_multiply(raised(a, np.array([[1], [-2]])), b))
    heads = bench.floats(A, 5, 64)
    angle = bench.rng.normal(size=32)
    cos, sin = bench.put(B, np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32))
    assert bench.vector(Function.ROTATE, A_SCALED, n=64, rows=5)[0] == JobCode.OK  # each head by the unit of row 0
    np.testing.assert_array_equal(bench.found(OUT, np.float32, 5, 64),
        rotate(raised(heads, 1)[None, None], cos[None], sin[None])[0, 0])


@pytest.mark.parametrize("window", [0, 1, 7, 200])
def test_a_cache_that_records_fill_is_attended_to(window):
    """APPEND, QUERY and ATTENTION, position by position, against the decoder's attention on all of them."""
    c, group, d, context, positions = 2, 3, 32, 64, 40
    bench  = Bench(window)
    keys, values, scales = START, START + 0x2000, START + 0x4000
    codes, exponents, out = START + 0x8000, START + 0x9000, START + 0xA000
    k, v, q = (bench.rng.normal(size=(positions, heads, d)).astype(np.float32) for heads in (c, c, c*group))
    for position in range(positions):
        for x, place, scale in ((k, keys, scales), (v, values, scales + 2*c*context)):
            bench.put(A, x[position])
            assert bench.vector(Function.APPEND, n=d, rows=c, out_addr=place + d*position,
                extra_addr=scale + 2*position, pitch=context*d, pitch_2=2*context)[0] == JobCode.OK
    bench.put(A, q[-1])
    assert bench.vector(Function.QUERY, n=d, rows=c*group, out_addr=codes, extra_addr=exponents,
        constant=bits(1.4426950408889634/np.sqrt(d)))[0] == JobCode.OK
    words = record_words(Opcode.ATTENTION, {"keys_addr": keys, "a_addr": codes, "out_addr": out, "scales_addr": scales,
        "positions": positions, "heads": heads_word(d, c, group), "exponents_addr": exponents, "window": window,
        "out_bytes": 4*c*group*d, "values_addr": values, "context": context})
    assert attention.execute(words[:12], bench.memory, CONFIG) == JobCode.OK
    cache = [array for x in (k, v) for array in append(x.transpose(1, 0, 2)[None])]
    expected = attend(q[None, -1:], *cache, window=window or None)
    np.testing.assert_array_equal(bench.found(out, np.float32, 1, 1, c*group*d), expected)
    words[11] = 32
    assert attention.execute(words[:12], bench.memory, CONFIG) == JobCode.PROGRAM


def test_the_largest_in_falling_order():
    bench  = Bench(3)
    values = bench.put(A, bench.rng.integers(-9, 9, 300).astype(np.float32))
    bench.state.units[0] = 3
    for count in (1, 7, 64):
        assert bench.vector(Function.SELECT, A_SCALED, n=300, rows=1, constant=count)[0] == JobCode.OK
        pairs = bench.found(OUT, np.uint32, count, 2)
        order = sorted(range(300), key=lambda index: (-values[index], index))[:count]
        assert pairs[:, 0].tolist() == order and bench.state.choice == order[0]
        np.testing.assert_array_equal(pairs[:, 1].copy().view(np.float32), 8*values[order])


@pytest.mark.parametrize("rows, n", [(1, 32), (2, 96), (4, 64), (5, 33), (64, 40)])
def test_operands_by_columns_are_the_same_by_rows(rows, n):
    bench = Bench(rows)
    a, b  = bench.floats(A, n, rows), bench.floats(B, n, rows)
    bench.state.units[:] = bench.rng.integers(-3, 3, 64)
    scaled = A_SCALED | B_SCALED
    for function, options, turned in ((Function.ADD, HAS_B | A_SCALED | MEASURE, (A,)), (Function.ADD, A_SCALED, (A,)),
            (Function.SILU, scaled, (A, B))):
        made = []
        for columns in (COLUMNS, 0):
            for address, values in ((A, a), (B, b)):
                if address in turned:
                    bench.put(address, values if columns else values.T)
            assert bench.vector(function, options | columns, n=n, rows=rows)[0] == JobCode.OK
            made.append((bench.found(OUT, np.uint32, rows, n).copy(), bench.state.squares[:rows].copy()))
        for found, expected in zip(*made, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("code, function, change", [
    (JobCode.PROGRAM, 8, {}),
    (JobCode.PROGRAM, Function.ADD, {"n": 31}),
    (JobCode.PROGRAM, Function.ADD, {"n": (1 << 16) + 1, "rows": 1}),
    (JobCode.PROGRAM, Function.ADD, {"rows": 0}),
    (JobCode.PROGRAM, Function.ADD, {"rows": 65}),
    (JobCode.PROGRAM, Function.SELECT, {"rows": 2, "constant": 1}),
    (JobCode.PROGRAM, Function.SELECT, {"rows": 1, "constant": 65}),
    (JobCode.PROGRAM, Function.SELECT, {"rows": 1, "constant": 1, "n": 1 << 20}),
    (JobCode.PROGRAM, Function.QUANT, {"constant": 64}),
    (JobCode.PROGRAM, Function.QUANT, {"constant": 0}),
    (JobCode.PROGRAM, Function.QUANT, {"constant": 40, "n": 40}),
    (JobCode.PROGRAM, Function.QUERY, {"n": 48}),
    (JobCode.PROGRAM, Function.APPEND, {"n": 288}),
    (JobCode.ALIGN,   Function.ADD, {"a_addr": 4}),
    (JobCode.ALIGN,   Function.NORM, {"b_addr": 4}),
    (JobCode.ALIGN,   Function.APPEND, {"extra_addr": EXTRA + 1}),
    (JobCode.ALIGN,   Function.APPEND, {"pitch": 100}),
    (JobCode.ALIGN,   Function.QUERY, {"extra_addr": EXTRA + 4}),
    (JobCode.MEMORY,  Function.ADD, {"a_addr": SIZE - 64}),
    (JobCode.MEMORY,  Function.SILU, {"b_addr": SIZE - 64}),
    (JobCode.MEMORY,  Function.ADD, {"out_addr": START - 64}),
    (JobCode.MEMORY,  Function.ADD, {"out_addr": 0xFFFFFFF8}),
    (JobCode.SPACE,   Function.ADD, {"out_bytes": 4*2*96 - 1}),
    (JobCode.SPACE,   Function.QUANT, {"constant": 32, "out_bytes": 2*2*(96 + 8) - 1}),
    (JobCode.SPACE,   Function.APPEND, {"pitch": 1 << 10, "out_bytes": (1 << 10) + 95}),
])
def test_codes(code, function, change):
    bench = Bench()
    bench.floats(A, 2, 96)
    bench.floats(B, 2, 96)
    bench.state.squares[:] = 96
    found, changed = bench.vector(function, **{"n": 96, "rows": 2, "epsilon": bits(1e-5)} | change)
    assert found == code
    assert not changed.size or (code == JobCode.MEMORY and changed.min() >= START)


def test_numbers_out_of_range():
    bench = Bench()
    for value in (np.inf, np.nan):
        bench.put(A, np.full(32, value, np.float32))
        code, changed = bench.vector(Function.ADD, n=32, rows=1)
        assert code == JobCode.RANGE and not changed.size
    bench.put(A, np.full(32, 2.0**17, np.float32))
    assert bench.vector(Function.ADD, MEASURE, n=32, rows=1)[0] == JobCode.RANGE
    bench.state.units[0] = 111
    assert bench.vector(Function.ADD, A_SCALED, n=32, rows=1)[0] == JobCode.RANGE


# Runs. ----------------------------------------------------------------------------------------------------------------

PROGRAM_AT, TOKENS = 0x6000, START + 0x2000
CONTEXT = golden.CONTEXT


class Runs:
    """A memory with the small program of the golden vectors, whose tokens follow from a table."""

    def __init__(self, change=lambda records: records):
        self.data = np.zeros(SIZE, np.uint8)
        table = np.random.default_rng(1).normal(size=(golden.D, golden.D)).astype(np.float32)
        self.data[:table.nbytes] = table.reshape(-1).view(np.uint8)
        records = np.array(sealed(change(golden.program()), golden.IDENTITY), np.uint32)
        self.data[PROGRAM_AT:PROGRAM_AT + records.nbytes] = records.view(np.uint8).reshape(-1)
        self.jobs   = []
        self.runner = ProgramRunner(replace(CONFIG, port_bits=128), self.data, self._gemm)

    def _gemm(self, job):
        self.jobs.append(job)
        return JobCode.OK

    def run(self, **change):
        return self.runner.run(run_words(**{"program_addr": PROGRAM_AT, "tokens_addr": TOKENS, "state_addr": START,
            "state_bytes": 0x1000, "token": 3, "position": 0, "identity": golden.IDENTITY, "count": 1, "prompt": False,
            "tag": 0} | change))

    def tokens(self, count, at=TOKENS):
        return self.data[at:at + 4*count].view("<u4").tolist()

    @property
    def state(self):
        return self.data[START:START + 0x1000].copy()


def end_never(records):
    records[0][6] = 0xFFFFFFFF
    return records


@pytest.mark.parametrize("cut", range(1, 6))
def test_two_runs_are_one(cut):
    whole, parts = Runs(end_never), Runs(end_never)
    assert whole.run(count=6) == JobCode.OK and whole.runner.run_tokens == 6
    tokens = whole.tokens(6)
    assert parts.run(count=cut) == JobCode.OK
    assert parts.run(count=6 - cut, token=tokens[cut - 1], position=cut, tokens_addr=TOKENS + 4*cut) == JobCode.OK
    np.testing.assert_array_equal(whole.data, parts.data)
    assert whole.jobs == parts.jobs and whole.runner.records == parts.runner.records == 24
    assert [job.act_addr for job in whole.jobs] == [START + 16*position for position in range(6)]


def test_a_prompt_ends_before_the_head_and_then_chooses():
    one, all_ = Runs(end_never), Runs(end_never)
    prompt = [5, 9, 31]
    all_.data[TOKENS:TOKENS + 12] = np.array(prompt, "<u4").view(np.uint8)
    assert all_.run(count=3, prompt=True, position=2) == JobCode.OK
    assert len(all_.jobs) == 3 and all_.runner.records == 2*2 + 4 and all_.tokens(3) == prompt
    for position, token in enumerate(prompt, 2):
        assert one.run(token=token, position=position) == JobCode.OK
    assert all_.tokens(1, TOKENS + 12) == one.tokens(1)


def test_more_of_a_prompt_follows():
    whole, parts = Runs(end_never), Runs(end_never)
    for runs in (whole, parts):
        runs.data[TOKENS:TOKENS + 20] = np.array([5, 9, 31, 0, 7], "<u4").view(np.uint8)
    assert whole.run(count=5, prompt=True) == JobCode.OK
    assert parts.run(count=3, prompt=True, more=True) == JobCode.OK and parts.runner.run_tokens == 3
    assert parts.tokens(5) == [5, 9, 31, 0, 7] and parts.runner.records == 3*2
    assert parts.run(count=2, prompt=True, position=3, tokens_addr=TOKENS + 12) == JobCode.OK
    np.testing.assert_array_equal(whole.data, parts.data)


def test_passes_of_several_tokens():
    """The first record is run for each token, to rows of its own; what follows once, at the last one's position."""
    def three(records):
        records = end_never(records)
        records[0][11], records[0][13] = 3, 2
        records[1][3]  = 0xC00
        records[1][15] = 3 | Source.ROW << 4 | 4*golden.D << 8
        return records
    runs = Runs(three)
    runs.data[TOKENS:TOKENS + 24] = np.array([5, 9, 31, 0, 7, 2], "<u4").view(np.uint8)
    assert runs.run(count=6, prompt=True, position=4) == JobCode.OK
    assert (runs.runner.run_tokens, runs.runner.records) == (6, 2*(2*1) + 2 + 4)
    assert [job.act_addr for job in runs.jobs] == [START + 16*position for position in (6, 9)]
    one = Runs(end_never)
    rows = []
    for position, token in enumerate([0, 7, 2], 7):
        assert one.run(token=token, position=position) == JobCode.OK
        rows.append(one.data[START:START + 4*golden.D].copy())
    np.testing.assert_array_equal(runs.data[START + 0xC00:START + 0xC00 + 12*golden.D], np.concatenate(rows))
    assert runs.run(count=3, prompt=True, more=True) == JobCode.OK and len(runs.jobs) == 3
    for change in ({"count": 2, "prompt": True}, {"count": 3}):  # no choice within a pass
        assert runs.run(**change) == JobCode.PROGRAM


def test_a_text_ends_with_its_token():
    free = Runs(end_never)
    free.run(count=8)
    tokens = free.tokens(8)
    end    = next(token for token in tokens if token != tokens[0])
    where  = tokens.index(end) + 1
    for place in (6, 7, 9, 10):
        def ends(records, place=place):
            records = end_never(records)
            records[0][place] = end
            return records
        runs = Runs(ends)
        assert runs.run(count=8) == JobCode.OK and runs.runner.run_tokens == where
        assert runs.tokens(8) == tokens[:where] + [0]*(8 - where)


@pytest.mark.parametrize("code, change", [
    (JobCode.ALIGN, {"program_addr": PROGRAM_AT + 8}), (JobCode.ALIGN, {"tokens_addr": TOKENS + 2}),
    (JobCode.ALIGN, {"state_addr": START + 4}),
    (JobCode.MEMORY, {"program_addr": SIZE - 32}), (JobCode.MEMORY, {"state_addr": SIZE - 0x800}),
    (JobCode.MEMORY, {"tokens_addr": SIZE - 4, "count": 2}), (JobCode.MEMORY, {"state_bytes": 0xFF0}),
    (JobCode.MEMORY, {"tokens_addr": SIZE - 4, "prompt": True}),
    (JobCode.PROGRAM, {"identity": golden.IDENTITY ^ 1}), (JobCode.PROGRAM, {"program_addr": PROGRAM_AT + 64}),
    (JobCode.PROGRAM, {"token": golden.D}), (JobCode.PROGRAM, {"token": 0xFFFFFFFF}),
    (JobCode.POSITION, {"count": 0}), (JobCode.POSITION, {"position": CONTEXT}),
    (JobCode.POSITION, {"position": CONTEXT - 1, "count": 2}), (JobCode.POSITION, {"position": 0xFFFFFFFF}),
])
def test_a_run_that_is_refused_changes_nothing(code, change):
    runs = Runs()
    before = runs.data.copy()
    assert runs.run(**change) == code and runs.runner.run_tokens == runs.runner.run_record == 0
    np.testing.assert_array_equal(runs.data, before)
    assert runs.run() == JobCode.OK


def test_other_bits_are_unsupported():
    runs = Runs()
    words = run_words(program_addr=PROGRAM_AT, tokens_addr=TOKENS, state_addr=START, state_bytes=0x1000, token=3,
        position=0, identity=golden.IDENTITY, count=1, prompt=False, tag=0)
    for index, bit in ((0, 9), (0, 31), (7, 20)):
        changed = list(words)
        changed[index] |= 1 << bit
        assert runs.runner.run(changed) == JobCode.UNSUPPORTED
    words[0] |= 1 << 8  # the fence that is implied
    assert runs.runner.run(words) == JobCode.OK


@pytest.mark.parametrize("place", [*range(0, 12), 12, 13, 14, 15])
@pytest.mark.parametrize("record", range(5))
def test_any_damaged_bit_ends_the_run_before_its_record(record, place):
    runs, whole = Runs(), Runs()
    assert whole.run() == JobCode.OK
    at  = PROGRAM_AT + record*RECORD_BYTES + 4*place
    runs.data[at + 1] ^= 0x20
    assert runs.run() == JobCode.PROGRAM and runs.runner.run_record == record and runs.runner.run_tokens == 0
    assert not runs.tokens(1)[0]  # nothing was chosen
    assert len(runs.jobs) == (record > 2)


@pytest.mark.parametrize("code, record, word, value", [
    (JobCode.PROGRAM, 0, 0, 1), (JobCode.PROGRAM, 0, 2, 0), (JobCode.PROGRAM, 0, 2, 4097), (JobCode.PROGRAM, 0, 3, 0),
    (JobCode.PROGRAM, 0, 3, 6), (JobCode.MEMORY, 0, 2, 4096), (JobCode.MEMORY, 0, 8, 0x1001),
    (JobCode.PROGRAM, 1, 0, 4), (JobCode.PROGRAM, 1, 13, 0x10C | 1 << 8), (JobCode.PROGRAM, 1, 13, 0x140),
    (JobCode.PROGRAM, 1, 13, 0x162), (JobCode.PROGRAM, 0, 11, 0), (JobCode.PROGRAM, 0, 11, 65),
    (JobCode.PROGRAM, 0, 13, 0), (JobCode.PROGRAM, 0, 13, 4), (JobCode.MEMORY, 2, 8, 0x801),
    (JobCode.UNSUPPORTED, 2, 7, 1 << 15),
    (JobCode.MEMORY, 2, 3, 0xFFFFFFF0), (JobCode.PROGRAM, 3, 4, 8), (JobCode.MEMORY, 4, 3, 0x10000),
])
def test_a_record_that_cannot_be_ends_the_run(code, record, word, value):
    def change(records):
        records[record][word] = value
        return records
    runs = Runs(change)
    if code == JobCode.MEMORY and record == 0 and word == 2:
        runs.data = runs.data[:PROGRAM_AT + 4096]
        runs.runner._data = runs.data
    assert runs.run(**({"state_addr": 0, "tokens_addr": 0x2000} if len(runs.data) < SIZE else {})) == code
    assert (runs.runner.run_tokens, runs.runner.run_record) == (0, record)


def test_a_pass_without_a_choice_is_no_program():
    runs = Runs(lambda records: [[*records[0][:2], 4, *records[0][3:]], *records[1:3], records[4]])
    assert runs.run() == JobCode.PROGRAM


@pytest.mark.parametrize("change", [
    (vector, "append", lambda x: append(-x)), (vector, "NARROW", 1), (attention, "mix", lambda *args: args[0][..., 0]),
    (execute, "RECORDS_MAX", 5000), (vector, "CHOICE_LIMIT", 64), (attention, "CONTEXT_STEP", 1),
], ids=lambda change: change[1])
def test_the_digest_of_builds_with_a_decoder_depends_on_it(monkeypatch, change):
    module, name, value = change
    before, without = compute_digest(("decoder",)), compute_digest()
    monkeypatch.setattr(module, name, value)
    assert compute_digest(("decoder",)) != before and compute_digest() == without


def test_names_are_those_of_the_tables():
    words = record_words(Opcode.GEMM, {"weights_addr": 5, "k": 7}, relative=("out_addr",), fence=1,
        patches=(("out_addr", Source.COUNT, 9),))
    assert words == [1 | 1 << 8 | 1 << 26, 5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3 | 1 << 4 | 9 << 8, 0, 0]
    with pytest.raises(KeyError):
        record_words(Opcode.GEMM, {}, relative=("n",))
    assert len(HEADER) == 14
