# SPDX-License-Identifier: BSD-2-Clause
"""The cycle model of programs: order, fences, what grows with what. Its figures are held in tests/program."""

import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import INDEX, Opcode
from mixpe_gateware.contract.jobs import Job, group_code
from mixpe_gateware.contract.program.attention import AttentionRecord
from mixpe_gateware.contract.program.records import HAS_B, NARROW, Function, Source
from mixpe_gateware.contract.program.timing import (
    PASS_CYCLES,
    START,
    Span,
    Timeline,
    attention_cycles,
    pass_timeline,
    vector_cycles,
)
from mixpe_gateware.contract.program.vector import VectorRecord
from mixpe_gateware.contract.program.words import heads_word, record_words
from mixpe_gateware.contract.timing import memory_timing, predict

CONFIG = Config(rows=8, scalers=8, read_ports=4, minima=True, decoder=True)
SLOW   = Config(rows=32, port_bits=32, memory_bits=16, scalers=2, k_max=2048, decoder=True, attention_heads=2)


def vector(function, n, rows=1, config=CONFIG, **words):
    options = words.pop("options", 0)
    numbers = dict.fromkeys(VectorRecord.__dataclass_fields__, 0) | {"constant": 1, **words}
    record  = VectorRecord(**{**numbers, "function": function, "options": options, "n": n, "rows": rows})
    return vector_cycles(record, config, memory_timing(config))


def attention(positions, heads=(64, 2, 2), config=CONFIG, window=0):
    numbers = dict.fromkeys(AttentionRecord.__dataclass_fields__, 0)
    record  = AttentionRecord(**{**numbers, "positions": positions, "heads": heads_word(*heads), "window": window})
    return attention_cycles(record, config, memory_timing(config))


def job(n=64, k=256):
    return Job(weights_addr=0, act_addr=0, out_addr=0, n=n, k=k, m=2, group=group_code(128, k), out_bytes=4*n,
        fused=True, wide=True, shift=True)


def gemm(**fields):
    words = job().words()
    return record_words(Opcode.GEMM, {name: words[INDEX[name]] for name in ("n", "k", "m", "flags", "out_bytes")},
        **fields)


def add(n=256, **fields):
    return record_words(Opcode.VECTOR, {"n": n, "rows": 1}, function=Function.ADD, **fields)


def test_every_function_has_its_cycles():
    assert set(START) == set(Function)
    for function in Function:
        rows  = 1 if function == Function.SELECT else 2
        group = 32 if function == Function.QUANT else 1
        few, many = (vector(function, n, rows, constant=group) for n in (32, 256))
        assert START[function] + 32*rows < few < many - 224*rows


def test_what_a_record_takes():
    assert vector(Function.ADD, 1024, options=HAS_B) > vector(Function.ADD, 1024)
    assert vector(Function.QUANT, 1024, constant=32) > vector(Function.QUANT, 1024, constant=32, options=NARROW)
    assert vector(Function.SELECT, 1024, constant=64) > vector(Function.SELECT, 1024) + 4000
    assert vector(Function.SELECT, 64, constant=64) < vector(Function.SELECT, 64) + 2000, "no more than there are"
    # A word of 16 bits a cycle: two operands and a result are six of them.
    assert 6 < (vector(Function.ADD, 1024, config=SLOW, options=HAS_B) - vector(Function.ADD, 512, config=SLOW,
        options=HAS_B))/512 < 9


def test_attention_takes_its_beats():
    beats = 2*2*64//16
    assert beats < (attention(1000) - attention(500))/500 < 1.2*beats
    assert attention(1000, window=100) == attention(100)
    assert attention(500, (64, 2, 8)) > 1.9*attention(500, (64, 2, 4)), "eight heads are two passes of four"
    assert attention(500, config=SLOW) > 7*attention(500)


def test_records_begin_in_order_and_behind_their_fences():
    records  = [gemm(fence=1), add(after_gemm=1), add(), gemm(after_vector=1), gemm()]
    timeline = pass_timeline(records, CONFIG, memory_timing(CONFIG))
    first, second, third, fourth, fifth = timeline.spans
    assert [span.record for span in timeline.spans] == [1, 2, 3, 4, 5]
    assert second.begin >= first.end and third.begin >= second.end and fourth.begin >= third.end
    found = predict(job(), CONFIG, memory_timing(CONFIG))
    assert first.end - first.begin == pytest.approx(found.total)
    assert fourth.begin < fifth.begin < fourth.end < fifth.end < fourth.end + found.total, "its start is hidden"
    assert timeline.cycles == fifth.end + PASS_CYCLES
    assert timeline.array == 3*found.array
    assert timeline.busy(Opcode.VECTOR) == pytest.approx(second.end - second.begin + third.end - third.begin)
    assert timeline.busy(Opcode.GEMM) == pytest.approx(first.end - first.begin + fifth.end - fourth.begin)
    assert timeline.busy(Opcode.ATTENTION) == 0


def test_short_records_wait_until_the_next_one_is_ready():
    patches = tuple((name, Source.POSITION, 4) for name in ("a_addr", "b_addr", "out_addr"))
    records = [add(32, patches=patches)]*8 + [gemm()]*8
    first, last = (pass_timeline(records, CONFIG, memory_timing(CONFIG), position=position) for position in (0, 1023))
    assert last.spans[0].begin == first.spans[0].begin + 3*10, "a patch takes a cycle for each bit of the position"
    assert last.cycles > first.cycles


def test_positions_are_patched():
    record = record_words(Opcode.ATTENTION, {"heads": heads_word(64, 2, 2), "context": 512},
        patches=(("positions", Source.COUNT, 1),))
    cycles = [pass_timeline([record], CONFIG, memory_timing(CONFIG), position).cycles for position in (0, 100, 500)]
    assert cycles == sorted(set(cycles))
    assert cycles[2] - cycles[1] == pytest.approx(attention(501) - attention(101), abs=20)


def test_each_cycle_is_of_the_oldest_record():
    spans = [Span(1, Opcode.GEMM, 10, 100), Span(2, Opcode.VECTOR, 40, 60), Span(3, Opcode.VECTOR, 90, 150),
        Span(4, Opcode.ATTENTION, 170, 200)]
    timeline = Timeline(spans, 210, 50)
    shares = timeline.shares(lambda span: "nothing" if span is None else span.opcode.name)
    assert shares == {"nothing": 10 + 20 + 10, "GEMM": 90, "VECTOR": 50, "ATTENTION": 30}
    assert timeline.busy(Opcode.VECTOR) == 80
