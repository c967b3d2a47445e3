# SPDX-License-Identifier: BSD-2-Clause
"""The vector engine over memory against `contract.program.vector`: all functions, all of the memory, random stalls."""

from itertools import count

import numpy as np
import pytest

from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.decoder.functions import LOG2_E
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.memory import SessionMemory
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    CHECK,
    COLUMNS,
    HAS_B,
    MEASURE,
    NARROW,
    OP,
    VECTOR,
    Function,
)
from mixpe_gateware.contract.program.state import VectorState
from mixpe_gateware.contract.program.vector import execute
from mixpe_gateware.vector.engine import VectorEngine
from mixpe_sim.harness.engine import CHOICE_VALID, EngineHarness
from mixpe_sim.harness.engine import LOW as BOUNDS

MEM_BYTES = 1 << 18
A, B, OUT, EXTRA = 0x1000, 0x10000, 0x20000, 0x38000
LOW, HIGH = 0x20000, 0x3F000
PORTS = [{"port_bits": 32}, {"port_bits": 128}, {"port_bits": 64, "memory_bits": 16},
    {"port_bits": 128, "memory_bits": 32, "queue_depth": 2}]


def float_word(x):
    return int(np.float32(x).view(np.uint32))


def record_of(function, options=0, **words):
    """The 16 words of a record."""
    names = {name: index for index, (name, _) in VECTOR.items()}
    record = [0]*16
    record[0] = OP.field("opcode").put(Opcode.VECTOR) | OP.field("function").put(function)
    record[0] |= OP.field("options").put(options)
    for name, value in {"a_addr": A, "b_addr": B, "out_addr": OUT, "extra_addr": EXTRA, "rows": 1,
            "out_bytes": 1 << 17, **words}.items():
        record[names[name]] = int(value)
    return record


class Machine:
    """The engine with its memory and what is expected of it."""

    def __init__(self, options):
        self.config   = Config(rows=2, scalers=1, k_max=16384, **options)
        self.harness  = EngineHarness(VectorEngine, "mixpe_gateware.vector.engine", self.config, MEM_BYTES,
            modes=("read", "read", "write"))
        self.memory   = self.harness.memory
        self.wanted   = self.memory.copy()
        self.state    = VectorState()

    def start(self, rng, *, stall, latency_cycles=5):
        """Random bytes everywhere, random stalls from here on."""
        self.rng = rng
        self.abort()
        self.harness.setup(seed=int(rng.integers(1 << 30)), stall=stall, latency_cycles=latency_cycles)
        self.fill(0, rng.integers(0, 256, MEM_BYTES).astype(np.uint8))

    def post(self, record, *, low=LOW, high=HIGH):
        """Begin a record whose results may be written from byte `low` to `high`."""
        beat = self.config.beat_bytes
        self.harness.post(record[:BOUNDS], low//beat, high//beat)

    def run(self, record, **bounds):
        """Run a record: its code, and what it chose or None."""
        self.post(record, **bounds)
        (_, code, self.cycles), = self.harness.run(1, limit_cycles=100_000)
        choice = self.harness.registers()["choice"]
        return code, choice ^ CHOICE_VALID if choice else None

    def abort(self):
        """Abort what runs; all of it ends within some cycles."""
        self.harness.reset()
        self.harness.idle(500)
        self.harness.take_ended()
        assert not self.harness.registers()["early"]

    def fill(self, place, data):
        raw = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        self.memory[place:place + raw.size] = self.wanted[place:place + raw.size] = raw

    def floats(self, place, x):
        self.fill(place, np.asarray(x, np.float32))

    def define(self, record):
        """Run a record by its definition: its code, and what it chose or None."""
        self.state.choice = None
        session = SessionMemory(self.wanted, LOW, HIGH - LOW)
        with np.errstate(all="ignore"):  # of random bytes
            code = execute(record[:CHECK], session, self.config, self.state)
        return code, self.state.choice

    def check(self, record):
        """Run a record and compare code, choice and the whole memory."""
        told = self.define(record)
        code, choice = self.run(record)
        assert (code, choice) == told
        if code == JobCode.OK:
            wrong = np.flatnonzero(self.memory != self.wanted)
            assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}"
        else:  # only its own results may have changed
            assert (self.memory[:LOW] == self.wanted[:LOW]).all()
            self.memory[:] = self.wanted

    def ends(self, record, code, **bounds):
        """Run a record that ends with a code and changes nothing."""
        before = self.memory.copy()
        assert self.run(record, **bounds) == (code, None)
        assert (self.memory == before).all()


@pytest.fixture(scope="module")
def machines():
    """Machines by their options, built once."""
    built = {}

    def machine(options):
        key = tuple(options.items())
        if key not in built:
            built[key] = Machine(options)
        return built[key]

    yield machine
    for machine in built.values():
        machine.harness.close()


@pytest.fixture(params=PORTS, ids=lambda options: "-".join(map(str, options.values())))
def machine(request, machines):
    return machines(request.param)


STALLS = (0.0, 0.4)


def scale_units(machine, rows, group=32, n=64):
    """QUANT of random rows, so that there are units of different sizes."""
    machine.floats(A, machine.rng.normal(0, 1, (rows, n))*2.0**machine.rng.integers(-9, 9, (rows, 1)))
    machine.check(record_of(Function.QUANT, n=n, rows=rows, constant=group))


@pytest.mark.parametrize("stall", STALLS)
def test_sums_and_norms(machine, stall, seeded):
    """Copies, sums, sums with one row; norms of what was measured, of one row and of many, short and long."""
    for seed, n, rows in zip(count(), (32, 33, 39, 64, 576, 100), (1, 3, 2, 64, 2, 10), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, rows)
        machine.floats(A, machine.rng.normal(0, 3, rows*n)*2.0**machine.rng.integers(-12, 4, rows*n))
        machine.floats(B, machine.rng.normal(0, 1, rows*n))
        machine.check(record_of(Function.ADD, n=n, rows=rows))
        machine.check(record_of(Function.ADD, A_SCALED, n=n, rows=rows))
        machine.check(record_of(Function.ADD, HAS_B | B_ONE_ROW | B_SCALED, n=n, rows=rows))
        machine.check(record_of(Function.ADD, HAS_B | A_SCALED | B_SCALED, n=n, rows=rows))
        machine.check(record_of(Function.ADD, HAS_B | MEASURE, n=n, rows=rows))
        norm = {"n": n, "rows": rows, "a_addr": OUT, "out_addr": OUT + (4*rows*n + 63)//64*64,
            "constant": float_word(1/n), "epsilon": float_word(1e-5)}
        machine.check(record_of(Function.NORM, **norm))
        machine.check(record_of(Function.NORM, A_SCALED | B_SCALED, **norm))


@pytest.mark.parametrize("stall", STALLS)
def test_silu(machine, stall, seeded):
    for seed, n, rows in zip(count(), (32, 50, 1536, 40), (1, 2, 1, 64), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, rows)
        x = machine.rng.normal(0, 6, rows*n)
        x[:8] = 0, 64, -64, 1e30, -1e30, 1e-38, -1e-38, -0.0
        machine.floats(A, x)
        machine.floats(B, machine.rng.normal(0, 1, rows*n)*2.0**machine.rng.integers(-20, 5, rows*n))
        machine.check(record_of(Function.SILU, n=n, rows=rows))
        machine.check(record_of(Function.SILU, A_SCALED | B_SCALED, n=n, rows=rows))


@pytest.mark.parametrize("stall", STALLS)
def test_operands_by_columns(machine, stall, seeded):
    """Results of a linear layer for several tokens, of units of their own; the residual beside them is by rows."""
    for seed, n, rows in zip(count(), (32, 33, 64, 100, 96, 32), (1, 2, 4, 8, 3, 16), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, rows)
        for place in (A, B):
            machine.floats(place, machine.rng.normal(0, 3, rows*n)*2.0**machine.rng.integers(-12, 4, rows*n))
        machine.check(record_of(Function.ADD, COLUMNS | A_SCALED, n=n, rows=rows))
        machine.check(record_of(Function.ADD, COLUMNS | A_SCALED | HAS_B | B_ONE_ROW, n=n, rows=rows))
        machine.check(record_of(Function.ADD, COLUMNS | A_SCALED | HAS_B | MEASURE, n=n, rows=rows))
        machine.check(record_of(Function.NORM, n=n, rows=rows, a_addr=OUT, out_addr=OUT + (4*rows*n + 63)//64*64,
            constant=float_word(1/n), epsilon=float_word(1e-5)))
        machine.check(record_of(Function.SILU, COLUMNS | A_SCALED | B_SCALED, n=n, rows=rows))
        machine.check(record_of(Function.SILU, n=n, rows=rows))


@pytest.mark.parametrize("stall", STALLS)
@pytest.mark.parametrize("kind", (0, NARROW))
def test_quantise(machine, kind, stall, seeded):
    """All group sizes, groups and rows of zeros, groups far below their row, rows at both ends of F32."""
    for seed, n, rows, group in zip(count(), (32, 64, 576, 96, 256, 1024, 2048, 128), (1, 3, 2, 1, 5, 1, 1, 64),
            (32, 32, 64, 96, 256, 128, 32, 64), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, rows)
        x = machine.rng.normal(0, 1, (rows, n//group, group))*2.0**machine.rng.integers(-30, 3, (rows, n//group, 1))
        x[machine.rng.random(x.shape[:2]) < 0.1] = 0
        machine.floats(A, x)
        machine.check(record_of(Function.QUANT, kind, n=n, rows=rows, constant=group))
        for scale in (0, 2.0**-126, 2.0**-120, 2.0**-105, 2.0**127):
            machine.floats(A, np.clip(x, -1.9, 1.9)*scale)
            machine.check(record_of(Function.QUANT, kind, n=n, rows=rows, constant=group))
        machine.floats(A, x)
        machine.check(record_of(Function.QUANT, kind, n=n, rows=rows, constant=group))
        machine.check(record_of(Function.QUANT, kind | A_SCALED, n=n, rows=rows, constant=group))
        machine.check(record_of(Function.ADD, A_SCALED, n=n, rows=rows))


def test_the_longest_row(machine, seeded):
    machine.start(seeded(0), stall=0.1)
    machine.floats(A, machine.rng.normal(0, 1, 16384)*2.0**np.repeat(machine.rng.integers(-20, 3, 512), 32))
    for kind in (0, NARROW):
        machine.check(record_of(Function.QUANT, kind, n=16384, constant=32))


@pytest.mark.parametrize("stall", STALLS)
def test_heads(machine, stall, seeded):
    """ROTATE, APPEND and QUERY of one head and of many, of the shortest and the longest; heads of zeros."""
    for seed, n, rows in zip(count(), (32, 64, 256, 96), (1, 12, 3, 64), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, 2)
        x = machine.rng.normal(0, 1, (rows, n))*2.0**machine.rng.integers(-15, 15, (rows, 1))
        x[1::5] = 0
        machine.floats(A, x)
        angles = machine.rng.uniform(-7, 7, n//2)
        machine.floats(B, np.concatenate([np.cos(angles), np.sin(angles)]))
        scaled = float_word(float(LOG2_E)/np.sqrt(n))
        pitch  = n*3 + 4*machine.config.beat_bytes
        for options in (0, A_SCALED):
            machine.check(record_of(Function.ROTATE, options, n=n, rows=rows))
            machine.check(record_of(Function.QUERY, options, n=n, rows=rows, constant=scaled))
            for odd in (0, 2):
                machine.check(record_of(Function.APPEND, options, n=n, rows=rows, pitch=pitch, pitch_2=6,
                    extra_addr=EXTRA + odd))


@pytest.mark.parametrize("stall", STALLS)
def test_choice(machine, stall, seeded):
    """Equal numbers, rising ones, fewer than are wanted; one, and 64."""
    for seed, n, most in zip(count(), (32, 33, 1000, 500, 700), (1, 64, 64, 7, 64), strict=False):
        machine.start(seeded(seed), stall=stall)
        scale_units(machine, 1)
        for x in (np.round(machine.rng.normal(0, 30, n)), np.arange(n) - 100, np.zeros(n), -np.arange(n)):
            machine.floats(A, x)
            for options in (0, A_SCALED):
                machine.check(record_of(Function.SELECT, options, n=n, constant=most, out_bytes=8*min(most, n)))


RANGES = [
    (Function.ADD, 0, {}, {A: [np.inf]}), (Function.ADD, HAS_B, {}, {A: [1], B: [-np.inf]}),
    (Function.ADD, HAS_B, {}, {A: [3e38], B: [3e38]}), (Function.ADD, MEASURE, {}, {A: [65536]}),
    (Function.NORM, 0, {"constant": float_word(1/32), "epsilon": float_word(-1e9)}, {}),
    (Function.NORM, 0, {"constant": float_word(np.nan), "epsilon": float_word(1)}, {}),
    (Function.NORM, 0, {"constant": float_word(1/32), "epsilon": float_word(np.inf)}, {}),
    (Function.NORM, 0, {"constant": float_word(0), "epsilon": float_word(2.0**-126)}, {A: [3e38]}),
    (Function.NORM, 0, {"constant": float_word(1/32), "epsilon": float_word(1)}, {B: [np.nan]}),
    (Function.SILU, 0, {}, {A: [np.nan]}), (Function.SILU, 0, {}, {A: [3e38], B: [2]}),
    (Function.QUANT, 0, {"constant": 32}, {A: [np.nan]}), (Function.ROTATE, 0, {}, {A: [3e38], B: [2]}),
    (Function.ROTATE, 0, {}, {B: [3.4028235e38]}),
    (Function.APPEND, 0, {"pitch": 64, "pitch_2": 2}, {A: [-2.0**125]}),
    (Function.QUERY, 0, {"constant": float_word(float(LOG2_E)/np.sqrt(np.float64(32)))}, {A: [np.inf]}),
    (Function.SELECT, 0, {"constant": 5}, {A: [np.nan]}),
]


@pytest.mark.parametrize("function, options, words, data", RANGES)
@pytest.mark.parametrize("place", (0, 31))
def test_numbers_out_of_range(function, options, words, data, place, machine, seeded):
    """RANGE, and the next record is right."""
    machine.start(seeded(0), stall=0.2)
    machine.floats(A, machine.rng.normal(0, 1, 32))
    machine.floats(B, machine.rng.normal(0, 1, 32))
    machine.check(record_of(Function.ADD, MEASURE, n=32))
    for start, values in data.items():
        machine.floats(start + 4*place, values)
    record = record_of(function, options, n=32, **words)
    assert machine.define(record)[0] == JobCode.RANGE
    assert machine.run(record) == (JobCode.RANGE, None)
    machine.start(seeded(1), stall=0.2)
    machine.floats(A, machine.rng.normal(0, 1, 64))
    machine.check(record_of(Function.ADD, n=32, rows=2))


def test_one_place_before_the_range_ends(machine, seeded):
    """The largest that there is of each: no RANGE."""
    machine.start(seeded(0), stall=0.2)
    machine.floats(A, np.full(32, np.nextafter(np.float32(65536), np.float32(0))))
    machine.floats(B, np.ones(32))
    machine.check(record_of(Function.ADD, MEASURE, n=32))
    machine.check(record_of(Function.NORM, n=32, constant=float_word(1/32), epsilon=float_word(0)))
    machine.floats(A, np.full(32, np.nextafter(np.float32(2.0**125), np.float32(0))))
    machine.check(record_of(Function.APPEND, n=32, pitch=64, pitch_2=2))
    machine.floats(A, np.full(32, np.finfo(np.float32).max))
    machine.check(record_of(Function.ADD, n=32))
    machine.check(record_of(Function.SELECT, n=32, constant=3))


P, L, M, S = JobCode.PROGRAM, JobCode.ALIGN, JobCode.MEMORY, JobCode.SPACE
REFUSED = [
    (Function.ADD, {"n": 31}, P), (Function.ADD, {"n": 0}, P), (Function.ADD, {"n": 65537}, P),
    (Function.ADD, {"n": 1 << 31 | 32}, P), (Function.ADD, {"rows": 0}, P), (Function.ADD, {"rows": 65}, P),
    (Function.ADD, {"rows": 257}, P), (8, {}, P), (15, {}, P), (Function.ROTATE, {"n": 48}, P),
    (Function.ROTATE, {"n": 288}, P), (Function.QUERY, {"n": 40}, P), (Function.APPEND, {"n": 512}, P),
    (Function.QUANT, {"constant": 33}, P), (Function.QUANT, {"constant": 64}, P), (Function.QUANT, {"constant": 0}, P),
    (Function.QUANT, {"n": 36, "constant": 36}, P), (Function.QUANT, {"n": 32768, "constant": 32}, P),
    (Function.SELECT, {"constant": 0}, P), (Function.SELECT, {"constant": 65}, P),
    (Function.SELECT, {"rows": 2, "constant": 5}, P), (Function.SELECT, {"n": 1 << 20, "constant": 5}, P),
    (Function.ADD, {"a_addr": A + 2}, L), (Function.ADD, {"out_addr": OUT + 1}, L),
    (Function.SILU, {"b_addr": B + 2}, L), (Function.QUERY, {"extra_addr": EXTRA + 2}, L),
    (Function.APPEND, {"extra_addr": EXTRA + 1, "pitch": 64, "pitch_2": 2}, L),
    (Function.APPEND, {"pitch": 66, "pitch_2": 2}, L), (Function.APPEND, {"pitch": 64, "pitch_2": 3}, L),
    (Function.ADD, {"a_addr": MEM_BYTES - 64}, M), (Function.SILU, {"b_addr": MEM_BYTES - 112}, M),
    (Function.ADD, {"a_addr": 0xFFFFFF80}, M), (Function.ROTATE, {"b_addr": MEM_BYTES - 64}, M),
    (Function.ADD, {"out_bytes": 127}, S), (Function.ADD, {"n": 33, "out_bytes": 128}, S),
    (Function.QUANT, {"constant": 32, "out_bytes": 64}, S), (Function.QUERY, {"out_bytes": 63}, S),
    (Function.SELECT, {"constant": 4, "out_bytes": 31}, S),
    (Function.APPEND, {"rows": 3, "pitch": 64, "pitch_2": 2, "out_bytes": 159}, S),
    (Function.APPEND, {"rows": 3, "pitch": 0xFFFFFFC0, "pitch_2": 2}, S),
]


@pytest.mark.parametrize("function, words, code", REFUSED)
def test_refused(function, words, code, machine, seeded):
    machine.start(seeded(0), stall=0.2)
    machine.floats(A, machine.rng.normal(0, 1, 64))
    machine.check(record_of(Function.SELECT, n=64, constant=3))
    for _ in range(2):
        machine.ends(record_of(function, **{"n": 32, **words}), code)
    machine.floats(A, machine.rng.normal(0, 1, 64))
    machine.check(record_of(Function.SELECT, n=64, constant=3))
    machine.check(record_of(Function.ADD, n=32))


@pytest.mark.parametrize("function, words", [
    (Function.ADD, {}), (Function.SELECT, {"constant": 9}), (Function.QUANT, {"constant": 32}),
    (Function.QUERY, {"constant": float_word(float(LOG2_E)/8.0)}),
    (Function.APPEND, {"pitch": 64, "pitch_2": 2})])
def test_results_outside_the_session(function, words, machine, seeded):
    """MEMORY, with every byte outside as it was; what lies inside is written."""
    beat = machine.config.beat_bytes
    for low, high in ((OUT + beat, HIGH), (LOW, OUT + beat), (LOW, LOW), (EXTRA + beat, HIGH)):
        machine.start(seeded(0), stall=0.2)
        machine.floats(A, machine.rng.normal(0, 1, 64))
        record = record_of(function, n=64, **words)
        before = machine.memory.copy()
        assert machine.run(record, low=low, high=high)[0] == JobCode.MEMORY
        outside = np.ones(MEM_BYTES, bool)
        outside[low:high] = False
        assert (machine.memory == before)[outside].all()
        machine.define(record)
        inside = slice(low, max(low, high))
        assert (machine.memory == machine.wanted)[inside].all()
        machine.wanted[:] = machine.memory
        machine.check(record)


def test_an_abort_anywhere(machine, seeded):
    """Quiet within some cycles, nothing outside the results changed; the next records are right."""
    records = [record_of(Function.QUANT, n=128, rows=3, constant=32), record_of(Function.SILU, n=128, rows=2),
        record_of(Function.ROTATE, n=128, rows=3), record_of(Function.SELECT, n=300, constant=20),
        record_of(Function.APPEND, n=64, rows=5, pitch=128, pitch_2=4), record_of(Function.QUERY, n=64, rows=3,
            constant=float_word(float(LOG2_E)/8.0))]
    for seed in range(40):
        machine.start(seeded(seed), stall=0.3, latency_cycles=(5, 40)[seed//len(records) % 2])
        machine.floats(A, machine.rng.normal(0, 1, 600))
        machine.floats(B, machine.rng.normal(0, 1, 600))
        before = machine.memory.copy()
        record = records[seed % len(records)]
        machine.post(record)
        machine.harness.idle(int(machine.rng.integers(1, 700)))
        machine.abort()
        assert (machine.memory[:LOW] == before[:LOW]).all()
        machine.memory[LOW:] = before[LOW:]
        machine.check(record)


def test_cycles(machines):
    """A record's cycles without stalls, of the row of a small model; what is chosen from is always the same."""
    cycles = {Function.ADD: 702, Function.NORM: 719, Function.SILU: 721, Function.QUANT: 956, Function.ROTATE: 777,
        Function.APPEND: 851, Function.QUERY: 843, Function.SELECT: 6249}
    machine = machines({"port_bits": 128})
    machine.start(np.random.default_rng(0), stall=0)
    machine.floats(A, machine.rng.normal(0, 1, 576))
    machine.floats(B, machine.rng.normal(0, 1, 576))
    machine.check(record_of(Function.ADD, HAS_B | MEASURE, n=576))
    found = {}
    for function in cycles:
        heads = function in (Function.ROTATE, Function.APPEND, Function.QUERY)
        constant = {Function.NORM: float_word(1/576), Function.QUANT: 32, Function.SELECT: 64,
            Function.QUERY: float_word(float(LOG2_E)/8.0)}.get(function, 0)
        machine.check(record_of(function, HAS_B if function == Function.ADD else 0, n=64 if heads else 576,
            rows=9 if heads else 1, constant=constant, epsilon=float_word(1e-5), pitch=64, pitch_2=2))
        found[function] = machine.cycles
    machine.check(record_of(Function.SELECT, n=576, constant=1))
    assert (found, machine.cycles) == (cycles, 655)
