# SPDX-License-Identifier: BSD-2-Clause
"""In-loop dequantisation to FP16 with FP32 sums: every bit as numpy's IEEE arithmetic, added in order."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe.gateware.pe import Fp16Dequant
from mixpe.gateware.pe.fp16_dequant import INTERLEAVE
from mixpe.gateware.spec.errors import ConfigError, DtypeError, ShapeError

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
