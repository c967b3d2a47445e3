# SPDX-License-Identifier: BSD-2-Clause
"""The attention engine in Verilator, compared with `contract.decoder.attention` over the whole memory."""

import functools

import numpy as np
import pytest

from mixpe_gateware.attention.engine import AttentionEngine
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.decoder.attention import mix, scores, weights
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import ATTENTION, HEADS
from mixpe_sim.harness.engine import EngineHarness

MEM_BYTES = 1 << 18
LONG_MEM_BYTES = 1 << 22


class Case:
    """A record with its operands.

    Parameters
    ----------
    config : Config
    rng : numpy Generator
    d, kv_heads, group, positions, context, window : int
    gap : int
        Beats between regions.
    """

    def __init__(self, config, rng, *, d=64, kv_heads=1, group=4, positions=64, context=64, window=0, gap=3):
        heads = kv_heads*group
        self.config, self.shape = config, (kv_heads, group, d)
        self.positions, self.context, self.window = positions, context, window
        self.codes     = rng.integers(-32767, 32768, (heads, d)).astype(np.int16)
        self.exponents = rng.integers(-3, 4, heads).astype(np.int32)
        self.keys      = rng.integers(-127, 128, (kv_heads, context, d)).astype(np.int8)
        self.values    = rng.integers(-127, 128, (kv_heads, context, d)).astype(np.int8)
        self.scales    = self.random_scales(rng, 2, kv_heads, context)
        self.words     = {"positions": positions, "window": window, "context": context, "out_bytes": 4*heads*d,
            "heads": HEADS.field("head_dim").put(d) | HEADS.field("kv_heads").put(kv_heads)
                | HEADS.field("group").put(group)}
        place = config.beat_bytes*gap
        for name, size in (("exponents_addr", 4*heads), ("values_addr", self.values.size), ("a_addr", 2*heads*d),
                ("out_addr", 4*heads*d), ("scales_addr", 2*self.scales.size), ("keys_addr", self.keys.size)):
            self.words[name] = place
            place += -(-size//config.beat_bytes)*config.beat_bytes + config.beat_bytes*gap
        self.end = place

    @staticmethod
    def random_scales(rng, *shape, low=120, high=124):
        """bfloat16 with biased exponents low … high."""
        return (rng.integers(low, high + 1, shape) << 7 | rng.integers(0, 128, shape)).astype(np.uint16)

    def with_scores_of(self, rms):
        """Set the exponents of the queries so that scores are about as large."""
        d = self.shape[2]
        self.exponents[:] = np.rint(np.log2(rms/(2**15*127/3*np.sqrt(d)*2.0**(122 - 127 + 1 - 16))))
        return self

    def record(self):
        """Words 0 … 11."""
        return [3, *(self.words[ATTENTION[index][0]] for index in range(1, 12))]

    def fill(self, memory):
        assert self.end <= len(memory), self.end
        for name, array in (("a_addr", self.codes), ("exponents_addr", self.exponents), ("keys_addr", self.keys),
                ("values_addr", self.values), ("scales_addr", self.scales)):
            data, start = np.frombuffer(array.tobytes(), np.uint8), self.words[name]
            memory[start:start + data.size] = data

    def results(self):
        """(c·group, d) float32.

        Raises
        ------
        RangeError
        """
        kv_heads, group, d = self.shape
        begin  = max(0, self.positions - self.window) if self.window else 0
        seen   = slice(begin, self.positions)
        hidden = np.zeros((1, self.positions - begin), bool)
        codes  = self.codes.astype(np.float64).reshape(1, kv_heads, group, 1, d)
        score  = scores(codes, self.exponents.reshape(1, kv_heads, group, 1), self.keys[None, :, seen],
            self.scales[0][None, :, seen], hidden)
        out = mix(weights(score), self.values[None, :, seen], self.scales[1][None, :, seen], hidden)
        return out.reshape(kv_heads*group, d)


@pytest.fixture
def make_case():
    return Case


@functools.cache
def build(options, mem_bytes):
    return EngineHarness(AttentionEngine, "mixpe_gateware.attention.engine", Config(**dict(options)), mem_bytes)


@pytest.fixture
def open_engine():
    """An engine in Verilator with random bytes in its memory; the same one for the same options."""
    def open_(*, mem_bytes=MEM_BYTES, seed=0, stall=0.0, **options):
        options = {"port_bits": 32, "context_max": 64, "k_max": 512, "rows": 2, "decoder": True, "head_max": 128,
            **options}
        harness = build(tuple(sorted(options.items())), mem_bytes)
        harness.setup(seed=seed, stall=stall)
        harness.memory[:] = np.random.default_rng(seed).integers(0, 256, mem_bytes, dtype=np.uint8)
        return harness

    return open_


@pytest.fixture
def long_mem_bytes():
    return LONG_MEM_BYTES


@pytest.fixture
def compare():
    """Run a record and compare its code and the whole memory; returns cycles.

    After a code that is not OK only what lies outside of the results must be as before.
    """
    def compare_(harness, case, *, code=None, limit_cycles=200_000, **bounds):
        case.fill(harness.memory)
        expected = np.array(harness.memory)
        start, size = case.words["out_addr"], case.words["out_bytes"]
        if code is None:
            try:
                results = np.frombuffer(case.results().tobytes(), np.uint8)
                expected[start:start + results.size] = results
                code = JobCode.OK
            except RangeError:
                code = JobCode.RANGE
        harness.post(case.record(), **bounds)
        (_, found, cycles), = harness.run(1, limit_cycles=limit_cycles)
        assert found == code
        if code != JobCode.OK:
            expected[start:start + size] = harness.memory[start:start + size]
        wrong = np.flatnonzero(harness.memory != expected)
        assert not wrong.size, f"{wrong.size} bytes differ, the first at {wrong[0]:#x}, results at {start:#x}"
        return cycles

    return compare_
