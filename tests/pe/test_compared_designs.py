# SPDX-License-Identifier: BSD-2-Clause
"""The designs that MixPE is compared with: all products where the input space allows, edges and random vectors."""

import numpy as np
import pytest
from migen.sim import run_simulation

from mixpe_gateware.baselines import AntA8, BitFusion, BitPlaneInt8, Int8, OlAccel, OliveA8, QServeA8, TableLookupA8
from mixpe_gateware.baselines.ant import values
from mixpe_gateware.baselines.bitfusion import MODES
from mixpe_gateware.baselines.olive import decode_pairs
from mixpe_gateware.baselines.table_lookup import TableEncoder
from mixpe_gateware.contract.errors import ConfigError, RangeError

SEED = 51122


def run(params, words):
    """Products of the unit for (weights, activations) port values, one a cycle."""
    dut = params.create()
    got = []

    def drive():
        for weights, activations in words:
            yield dut.weights.eq(weights)
            yield dut.activations.eq(activations)
            yield

    def watch():
        for _ in range(dut.latency + 1):
            yield
        for _ in words:
            got.append((yield dut.product))
            yield

    run_simulation(dut, [drive(), watch()])
    return np.array(got)


@pytest.mark.parametrize("params", [Int8(lanes=2), BitPlaneInt8(lanes=2)], ids=["multiplier", "bit planes"])
def test_int8_all_products(params):
    """All 65 536 products, two lanes a cycle in different orders."""
    w, x = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")
    w = np.stack([w.ravel()[:32768], w.ravel()[32768:]], axis=-1)
    x = np.stack([x.ravel()[:32768], x.ravel()[32768:]], axis=-1)
    got = run(params, [(params.encode_weights(a), params.encode(b)) for a, b in zip(w, x, strict=True)])
    assert np.array_equal(got, (w*x).sum(axis=-1))


def test_qserve_dequantises_modulo_256():
    """The INT8 weight wraps as QServe's kernel does, multiply before subtract."""
    assert QServeA8(lanes=1).dequantise(15, 17, -128) == 127
    assert QServeA8(lanes=1).dequantise(15, 17, 1) == -256 + 256
    rng = np.random.default_rng(SEED)
    params = QServeA8(lanes=2)
    words, expected = [], []
    for q in range(16):
        for scale in (0, 1, 2, 16, 17, 255):
            for zero in (-128, -1, 0, 1, 119, 127):
                x = rng.choice([-128, -1, 0, 1, 127, int(rng.integers(-128, 128))], 2)
                words.append((params.encode_weights([q, 15 - q], scale, zero), params.encode(x)))
                expected.append(params.reference([q, 15 - q], x, scale, zero))
    assert np.array_equal(run(params, words), expected), f"seed {SEED}"


@pytest.mark.parametrize("kind", ["int", "pot", "flint"])
def test_ant_all_products(kind):
    params = AntA8(lanes=2)
    codes, x = np.meshgrid(np.arange(16), np.arange(-128, 128), indexing="ij")
    q = np.stack([codes.ravel(), 15 - codes.ravel()], axis=-1)
    x = np.stack([x.ravel(), -1 - x.ravel()], axis=-1)
    got = run(params, [(params.encode_weights(a, kind), params.encode(b)) for a, b in zip(q, x, strict=True)])
    assert np.array_equal(got, params.reference(q, x, kind))
    assert np.array_equal(got, (values(kind)[q]*x).sum(axis=-1))


def test_ant_value_sets():
    assert sorted(set(np.abs(values("flint")))) == [0, 1, 2, 3, 4, 6, 8, 16]
    assert sorted(set(np.abs(values("pot")))) == [0, 1, 2, 4, 8, 16, 32, 64]
    assert values("int")[8] == -8
    with pytest.raises(ConfigError, match="ANT type"):
        values("posit")


def test_olive_all_pairs():
    """All 256 pairs with extreme and random activations."""
    assert decode_pairs([8, 1]).tolist() == [0, 12] and decode_pairs([0b1111, 8]).tolist() == [-96, 0]
    assert decode_pairs([8, 8]).tolist() == [0, 0] and decode_pairs([9, 7]).tolist() == [-7, 7]
    rng = np.random.default_rng(SEED)
    q = np.stack([np.repeat(np.arange(16), 16), np.tile(np.arange(16), 16)], axis=-1)
    q = np.concatenate([q, q, q])
    x = np.concatenate([np.full((256, 2), -128), np.full((256, 2), 127), rng.integers(-128, 128, (256, 2))])
    params = OliveA8(lanes=2)
    got = run(params, [(params.encode_weights(a), params.encode(b)) for a, b in zip(q, x, strict=True)])
    assert np.array_equal(got, params.reference(q, x)), f"seed {SEED}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("signed", [False, True])
def test_bitfusion_modes(mode, signed):
    """Each mode: extremes on all lanes, then random; all operand pairs of the small modes."""
    rng = np.random.default_rng(SEED)
    params = BitFusion(lanes=4)
    lanes = params.products(mode)
    _, activation_bits, weight_bits = MODES[mode]
    low_w, high_w = (-(1 << weight_bits - 1), 1 << weight_bits - 1) if signed else (0, 1 << weight_bits)
    low_x, high_x = -(1 << activation_bits - 1), 1 << activation_bits - 1
    q = rng.integers(low_w, high_w, (300, lanes))
    x = rng.integers(low_x, high_x, (300, lanes))
    for index, (w_edge, x_edge) in enumerate([(low_w, low_x), (low_w, high_x - 1), (high_w - 1, low_x),
                                              (high_w - 1, high_x - 1)]):
        q[index], x[index] = w_edge, x_edge
    got = run(params, [(params.encode_weights(a, mode, signed), params.encode(b, mode))
                       for a, b in zip(q, x, strict=True)])
    assert np.array_equal(got, params.reference(q, x, mode, signed)), f"seed {SEED}"


def test_olaccel_groups():
    """Groups with and without outliers in every lane, back to back."""
    rng = np.random.default_rng(SEED)
    params = OlAccel()
    dut = params.create_group()
    w = rng.integers(-8, 8, (6, 32, 16))
    x = rng.integers(-128, 128, (6, 32))
    for group in range(1, 6):
        for row in range(32):
            w[group, row, row % 16] = rng.choice([-128, -9, 8, 127, int(rng.integers(-128, 128))])
    w[0], x[0] = -8, -128
    w[1, :, 3], x[1] = -128, -128
    w[1, :, :3] = 7
    w[1, :, 4:] = -8
    got = []

    def drive():
        for group in range(6):
            for row in range(32):
                yield dut.weights.eq(params.encode_weights(w[group, row]))
                for high in (0, 1):
                    yield dut.activations.eq((int(x[group, row]) >> 4*high & 15) | high << 4)
                    yield dut.first.eq(row == 0 and high == 0)
                    yield dut.last.eq(row == 31 and high == 1)
                    yield
        yield dut.last.eq(0)

    def watch():
        for _ in range(6*64 + 10):
            if (yield dut.done):
                word = yield dut.total
                got.append([(word >> 24*lane & (1 << 24) - 1 ^ 1 << 23) - (1 << 23) for lane in range(16)])
            yield

    run_simulation(dut, [drive(), watch()])
    assert np.array_equal(got, [params.reference(a, b) for a, b in zip(w, x, strict=True)]), f"seed {SEED}"
    with pytest.raises(RangeError, match="at most one"):
        params.reference(np.full((1, 16), 100), np.zeros(1, int))


@pytest.mark.parametrize("lanes", [4, 16])
def test_table_encoder(lanes):
    """Every entry of every table, with pauses between vectors; nothing is written in the pauses."""
    rng = np.random.default_rng(SEED)
    params = TableLookupA8(lanes=lanes)
    dut = TableEncoder(params)
    x = rng.integers(-128, 128, (12, lanes))
    x[0], x[1], x[2] = -128, 127, 0
    gaps = [0, 0, 1, 5, *rng.integers(0, 4, 8)]
    got = []

    def drive():
        for row, gap in zip(x, gaps, strict=True):
            for cycle in range(16 + gap):
                yield dut.start.eq(cycle == 0)
                if cycle == 1:
                    yield dut.activations.eq(int.from_bytes(row.astype(np.int8).tobytes(), "little"))
                yield
        yield dut.start.eq(0)
        yield

    def watch():
        for _ in range(dut.latency + 1):
            yield
        for gap in gaps:
            words = []
            for cycle in range(16 + int(gap)):
                word = yield dut.word
                if cycle < 16:
                    words.append(word)
                else:
                    assert not word >> len(dut.word) - 1
                yield
            got.append(words)

    run_simulation(dut, [drive(), watch()])
    for words, row in zip(got, x, strict=True):
        assert sorted(words) == sorted(params.table_writes(row)), f"seed {SEED}"


@pytest.mark.parametrize("lanes", [4, 16])
def test_tables(lanes):
    """Tables are written for one vector of activations, then many weights stream past."""
    rng = np.random.default_rng(SEED)
    params = TableLookupA8(lanes=lanes)
    for x in (np.full(lanes, -128), rng.integers(-128, 128, lanes)):
        q = rng.integers(0, 16, (400, lanes))
        q[0], q[1] = 0, 15
        words = [(0, word) for word in params.table_writes(x)]
        words += [(params.encode_weights(row), 0) for row in q]
        got = run(params, words)[16:]
        assert np.array_equal(got, params.reference(q, np.broadcast_to(x, q.shape))), f"seed {SEED}"
