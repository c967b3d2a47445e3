# SPDX-License-Identifier: BSD-2-Clause
"""In-loop dequantisation to FP16 with FP32 sums: every bit as numpy's IEEE arithmetic, added in order."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.baselines import Fp16Dequant
from mixpe_gateware.baselines.fp16_dequant import INTERLEAVE
from mixpe_gateware.contract.errors import ConfigError, DtypeError, ShapeError

SEED = 16


def simulate(q, x, scale):
    """(total, flag) of each channel: q, x (channels, k), scale (channels); INTERLEAVE channels take turns."""
    params = Fp16Dequant()
    dut = params.create_group()
    channels, k = q.shape
    got = []

    def drive():
        for base in range(0, channels, INTERLEAVE):
            for index in range(k):
                for channel in range(base, base + INTERLEAVE):
                    yield dut.weights.eq(params.encode_weights(q[channel, index], scale[channel]))
                    yield dut.activations.eq(params.encode(x[channel, index]))
                    yield dut.first.eq(index == 0)
                    yield dut.last.eq(index == k - 1)
                    yield
        yield dut.last.eq(0)

    def watch():
        for _ in range(channels*k + dut.latency + 3):
            if (yield dut.done):
                got.append((params.value((yield dut.total)), (yield dut.flag)))
            yield

    run_simulation(dut, [drive(), watch()])
    return got


def test_sums_bit_for_bit():
    """Largest, smallest, cancelling and widely spread numbers."""
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (30, 40))
    x = (rng.standard_normal((30, 40))*10.0**rng.uniform(-6, 3, (30, 40))).astype(np.float16)
    scale = (rng.standard_normal(30)*10.0**rng.uniform(-6, -1, 30)).astype(np.float16)
    x[0], scale[0] = 65504, 1.0
    x[1, ::2], q[1, 1::2] = -x[1, 1::2], q[1, ::2]
    x[2], scale[2] = 2**-24, 2**-24
    x[3], q[3] = 0, 8
    expected = Fp16Dequant().reference(q, x, scale)
    got = simulate(q, x, scale)
    assert [value for value, _ in got] == expected.tolist(), f"seed {SEED}"
    assert not any(flag for _, flag in got)


def test_dequantisation_of_any_scale():
    """x = 1, groups of one: the total is fp16((q − 8)·s), for scales of all classes and all weights; overflow flags."""
    rng = np.random.default_rng(SEED)
    codes = np.concatenate([[0, 0x8000, 1, 0x3ff, 0x400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00],
                            rng.integers(0, 65536, 180)]).astype(np.uint16)
    scale = np.repeat(codes.view(np.float16), 16)[:, None]
    q = np.tile(np.arange(16), len(codes))[:, None]
    got = simulate(q, np.ones_like(scale), scale[:, 0])
    expected = Fp16Dequant().dequantise(q, scale)[:, 0]
    for (value, flag), right, special in zip(got, expected, ~np.isfinite(scale[:, 0]), strict=True):
        assert flag == (special or not np.isfinite(right)), f"seed {SEED}"
        assert flag or value == right, f"seed {SEED}"


@pytest.fixture(scope="module")
def many(clocked):
    """Sums of many channels in Verilator: q, x (channels, k), scale (channels) to (value float64, flag)."""
    params = Fp16Dequant()
    unit   = params.create_group()
    names  = ("weights", "activations", "first", "last")
    step   = clocked(unit, {name: getattr(unit, name) for name in names},
                     {name: getattr(unit, name) for name in ("total", "flag", "done")})

    def run(q, x, scale):
        channels, k = q.shape
        words = q.astype(np.uint64) | scale.view(np.uint16).astype(np.uint64)[:, None] << 4
        place = np.broadcast_to(np.arange(k), q.shape)
        ports = dict(zip(names, (words, x.view(np.uint16), place == 0, place == k - 1), strict=True))
        flush = np.zeros(unit.latency + 1, np.uint64)
        got   = step({name: np.concatenate([values.reshape(-1, INTERLEAVE, k).transpose(0, 2, 1).ravel(), flush])
                      for name, values in ports.items()})
        done  = got["done"] == 1
        total = got["total"][done].astype(np.int64)
        assert len(total) == channels
        mantissa, exponent = total & (1 << 24) - 1, total >> 24 & 127
        return np.where(total >> 31, -1.0, 1.0)*np.ldexp(mantissa.astype(np.float64), exponent - 72), got["flag"][done]

    return run


def test_many_sums(many):
    """1 000 channels of 128: 128 000 products, spread over FP16's range, every sum bit for bit."""
    rng = np.random.default_rng(SEED)
    q = rng.integers(0, 16, (1000, 128))
    x = (rng.standard_normal((1000, 128))*10.0**rng.uniform(-6, 3, (1000, 128))).astype(np.float16)
    x[:200] = rng.choice(np.array([65504, -65504, 2**-24, -2**-24, 0, 1, -1], np.float16), (200, 128))
    scale = (rng.standard_normal(1000)*10.0**rng.uniform(-6, -1, 1000)).astype(np.float16)
    scale[:100] = rng.choice(np.array([2**-24, 1, -1, 0.125, -0.0625], np.float16), 100)
    values, flags = many(q, x, scale)
    expected = Fp16Dequant().reference(q, x, scale)
    assert np.array_equal(values, expected), f"seed {SEED}: channels {np.flatnonzero(values != expected)[:5]}"
    assert not flags.any()


def test_all_scales_and_all_activations_with_all_weights(many):
    """All FP16 scales with x = 1, then all FP16 activations with a scale of 1, each with all 16 weights."""
    codes = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16)
    each  = np.concatenate([codes, codes[:INTERLEAVE - 1]])  # a multiple of INTERLEAVE
    one   = np.ones(16*len(each), np.float16)
    q     = np.repeat(np.arange(16), len(each))
    every = np.tile(each, 16)
    params = Fp16Dequant()
    for x, scale in ((one, every), (every, one)):
        values, flags = many(q[:, None], np.ascontiguousarray(x)[:, None], np.ascontiguousarray(scale))
        weight  = params.dequantise(q, scale)
        special = ~(np.isfinite(scale) & np.isfinite(x) & np.isfinite(weight))
        assert np.array_equal(flags == 1, special)
        good = ~special
        assert np.array_equal(values[good], weight[good].astype(np.float64)*x[good])


def test_flags_stay_with_their_channel():
    q = np.full((5, 4), 9)
    x = np.ones((5, 4), np.float16)
    x[1, 2], x[4, 0] = np.inf, np.nan
    assert [flag for _, flag in simulate(q, x, np.ones(5, np.float16))] == [0, 1, 0, 0, 1]


def test_bad_input():
    with pytest.raises(ConfigError, match="lanes must be 1"):
        Fp16Dequant(lanes=2)
    with pytest.raises(DtypeError):
        Fp16Dequant().reference([[1]], np.ones((1, 1)), np.ones(1, np.float16))
    with pytest.raises(ShapeError):
        Fp16Dequant().reference([[1]], np.ones((1, 1), np.float16), np.ones(2, np.float16))
