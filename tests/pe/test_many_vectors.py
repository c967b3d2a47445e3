# SPDX-License-Identifier: BSD-2-Clause
"""10⁵ random and extreme vectors through each design in Verilator; on ECP5 through the vendor's cell models."""

import numpy as np
import pytest

from mixpe_gateware.baselines import (
    AlignedA16,
    AntA8,
    BitFusion,
    BitPlaneInt8,
    Int8,
    OlAccel,
    OliveA8,
    QServeA8,
    TableLookupA8,
)
from mixpe_gateware.baselines.ant import TYPES
from mixpe_gateware.baselines.bitfusion import MODES
from mixpe_gateware.baselines.olaccel import CHANNELS, SUM_BITS
from mixpe_gateware.pe import BitPlaneA8, PairPlaneA8, ShiftAddA8

SEED = 5
VECTORS = 100_000


def name_of(params):
    return "-".join(str(value) for value in params.to_dict().values())


def operands(params, vectors=VECTORS):
    """Weights and activations (vectors, lanes), a fifth of them extremes; extreme meets extreme and random."""
    rng = np.random.default_rng(SEED)
    shape, part = (vectors, params.lanes), vectors//5
    bits, signed, width = params.weight_bits, params.weights_signed, params.lane_activation_bits
    low  = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    q = rng.integers(low, high + 1, shape)
    x = rng.integers(-(1 << width - 1), 1 << width - 1, shape)
    top = (1 << width - 1) - 1
    x[:part] = rng.choice([-top - 1, -top, -1, 0, 1, top - 1, top], (part, params.lanes))
    q[part//4:part//4 + part] = rng.choice([low, low + 1, (low + high)//2, (low + high)//2 + 1, high - 1, high],
                                           (part, params.lanes))
    return q, x


def compare(got, expected):
    assert np.array_equal(got, expected), f"seed {SEED}, first {np.flatnonzero(got != expected)[:5]}"


@pytest.mark.parametrize("params", [
    ShiftAddA8(lanes=4), BitPlaneA8(lanes=4, target="ecp5"), OliveA8(lanes=4), Int8(lanes=4),
    BitPlaneInt8(lanes=4), BitPlaneInt8(lanes=4, target="ecp5"),
    AlignedA16(lanes=4, target="ecp5"), AlignedA16(lanes=4, width=24)], ids=name_of)
def test_vectors(params, verilated, pack):
    q, x = operands(params)
    product, _ = verilated(params)(pack(q, params.weight_bits), pack(x, params.lane_activation_bits))
    compare(product, params.reference(q, x))


@pytest.fixture(scope="module")
def encoded():
    """Weights, activations, and the words of the activations: the same for all dense units of four lanes."""
    params = PairPlaneA8(lanes=4)
    q, x   = operands(params)
    return q, x, np.array([params.encode(row) for row in x], np.uint64)


@pytest.mark.parametrize("params", [
    PairPlaneA8(lanes=4), PairPlaneA8(lanes=4, target="ecp5"),
    PairPlaneA8(lanes=4, target="ecp5", pipelined=False, adders_per_chain=1)], ids=name_of)
def test_vectors_of_encoded_activations(params, encoded, verilated, pack):
    q, x, words = encoded
    product, _  = verilated(params)(pack(q, 4), words)
    compare(product, params.reference(q, x))


def test_qserve_vectors(verilated, pack):
    """Every vector has a scale and a zero of its own."""
    params = QServeA8(lanes=4)
    rng    = np.random.default_rng(SEED)
    q, x   = operands(params)
    scale  = rng.integers(0, 256, (VECTORS, 1))
    zero   = rng.integers(-128, 128, (VECTORS, 1))
    words  = pack(q, 4) | scale[:, 0].astype(np.uint64) << 16 | (zero[:, 0] & 255).astype(np.uint64) << 24
    product, _ = verilated(params)(words, pack(x, 8))
    compare(product, params.reference(q, x, scale, zero))


def test_qserve_all_cases(verilated, pack):
    """Each weight with each scale and zero, and each 8-bit weight with each activation, on each of four lanes."""
    params = QServeA8(lanes=4)
    case   = np.arange(1 << 20)
    scale, zero, lanes = case >> 8 & 255, (case & 255) - 128, 5*np.arange(4)
    q = ((case >> 16)[:, None] + lanes) % 16
    x = (scale[:, None] + 37*(case >> 16)[:, None] + 11*lanes) % 256 - 128
    for lane in range(4):
        wide = (q[:, lane]*scale + zero) & 255
        assert len(np.unique(q[:, lane] << 16 | scale << 8 | zero & 255)) == 1 << 20
        assert len(np.unique(wide << 8 | x[:, lane] & 255)) == 1 << 16
    words = pack(q, 4) | scale.astype(np.uint64) << 16 | (zero & 255).astype(np.uint64) << 24
    product, _ = verilated(params)(words, pack(x, 8))
    compare(product, params.reference(q, x, scale[:, None], zero[:, None]))


def test_ant_vectors(verilated, pack):
    """Types change from vector to vector."""
    params = AntA8(lanes=4)
    q, x   = operands(params)
    kind   = np.random.default_rng(SEED).integers(0, len(TYPES), VECTORS)
    product, _ = verilated(params)(pack(q, 4) | kind.astype(np.uint64) << 16, pack(x, 8))
    compare(product, np.choose(kind, [params.reference(q, x, name) for name in TYPES]))


def test_bitfusion_vectors(verilated, pack):
    """All 8×8 products and all 8×4 products on each place, signed and unsigned weights; random ones in all modes."""
    params = BitFusion(lanes=2)
    rng    = np.random.default_rng(SEED)
    words, activations, expected = [], [], []
    for index, mode in enumerate(MODES):
        products, activation_bits, weight_bits = MODES[mode]
        for signed in (False, True):
            low  = -(1 << weight_bits - 1) if signed else 0
            q, x = np.meshgrid(np.arange(low, low + (1 << weight_bits)),
                               np.arange(-(1 << activation_bits - 1), 1 << activation_bits - 1), indexing="ij")
            rolls = [577*place for place in range(products)]  # odd steps: every place sees all pairs
            q = np.stack([np.roll(q.ravel(), roll) for roll in rolls], axis=-1)
            x = np.stack([np.roll(x.ravel(), roll) for roll in rolls], axis=-1)
            more = VECTORS//(2*len(MODES))
            q = np.concatenate([q, rng.integers(low, low + (1 << weight_bits), (more, products))])
            x = np.concatenate([x, rng.integers(x.min(), x.max() + 1, (more, products))])
            words.append(pack(q, weight_bits) | np.uint64(index << 32 | int(signed) << 34))
            activations.append(pack(x, activation_bits))
            expected.append(params.reference(q, x, mode, signed))
    order = rng.permutation(sum(map(len, expected)))  # modes change from vector to vector
    product, _ = verilated(params)(np.concatenate(words)[order], np.concatenate(activations)[order])
    compare(product, np.concatenate(expected)[order])


def test_olive_all_cases(verilated, pack):
    """Every code beside every partner with every activation, on each of four lanes: 65 536 vectors."""
    params = OliveA8(lanes=4)
    code, partner, x = (part.ravel() for part in np.meshgrid(np.arange(16), np.arange(16), np.arange(-128, 128),
                                                             indexing="ij"))
    q = np.stack([code, partner, partner, code], axis=-1)
    x = np.stack([x, -1 - x, x, -1 - x], axis=-1)
    product, _ = verilated(params)(pack(q, 4), pack(x, 8))
    compare(product, params.reference(q, x))


@pytest.mark.parametrize("params", [AlignedA16(lanes=4, width=width, target=target) for width in (8, 10, 12, 14)
                                    for target in ("portable", "ecp5")], ids=name_of)
def test_aligned_all_products(params, verilated, pack):
    """All weights with all aligned activations on each of four lanes, which are never at the same product."""
    width = params.width
    q, x  = (part.ravel() for part in np.meshgrid(np.arange(16), np.arange(-(1 << width - 1), 1 << width - 1),
                                                  indexing="ij"))
    q, x  = (np.stack([np.roll(part, 577*lane) for lane in range(4)], axis=-1) for part in (q, x))
    product, _ = verilated(params)(pack(q, 4), pack(x, width))
    compare(product, params.reference(q, x))


def test_table_all_products(clocked, pack):
    """All weights with all activations on each of eight lanes: 256 tables, 16 weight vectors past each."""
    lanes = np.arange(8)
    x = (np.arange(256)[:, None] + 37*lanes) % 256 - 128
    q = np.tile((np.arange(32)[:, None] + 5*lanes) % 16, (256, 1, 1))  # 16 cycles of them while tables are written
    run_tables(clocked, pack, q, x)


def test_table_vectors(clocked, pack):
    """10⁵ weight vectors past 200 vectors of activations: each is written in 16 cycles with weights going past."""
    rng    = np.random.default_rng(SEED)
    tables, each = 200, VECTORS//200
    q, _   = operands(TableLookupA8(lanes=8), tables*(each + 16))
    x      = rng.integers(-128, 128, (tables, 8))
    x[0], x[1], x[2] = -128, 127, 0
    run_tables(clocked, pack, q.reshape(tables, -1, 8), x)


def run_tables(clocked, pack, q, x):
    """Weights q (tables, cycles, 8) past activations x (tables, 8), whose tables are written in the first 16 cycles."""
    params = TableLookupA8(lanes=8)
    unit   = params.create()
    tables, each = len(q), q.shape[1] - 16
    q = q.reshape(-1, 8)
    activations = np.zeros((tables, each + 16), np.uint64)
    for table in range(tables):
        activations[table, :16] = params.table_writes(x[table])
    got = clocked(unit, {"weights": unit.weights, "activations": unit.activations}, {"product": unit.product})(
        {"weights": pack(q, 4), "activations": activations.ravel()})["product"]
    got = got.astype(np.int64) << 64 - unit.product.nbits >> 64 - unit.product.nbits
    got = np.append(got[unit.latency - 1:], np.zeros(unit.latency - 1, np.int64)).reshape(tables, -1)
    expected = params.reference(q.reshape(tables, -1, 8), x[:, None])
    compare(got[:-1, 16:], expected[:-1, 16:])
    compare(got[-1, 16:17 - unit.latency], expected[-1, 16:17 - unit.latency])


def test_olaccel_all_products(clocked, pack):
    """Each outlier with each activation, on lanes in turn; each 4-bit weight with each activation on each lane."""
    groups, size = 512, 128
    value = np.repeat(np.arange(-128, 128), 256).reshape(groups, size)
    x     = np.tile(np.arange(-128, 128), 256).reshape(groups, size)
    lane  = (value + x) % CHANNELS
    w     = (value[..., None] + np.arange(CHANNELS)) % 16 - 8
    run_olaccel(clocked, pack, w, x, lane, value, np.ones((groups, size), bool))


def test_olaccel_vectors(clocked, pack):
    """10⁵ chunks of 16 weights, most with an outlier, in groups of 128, back to back."""
    rng = np.random.default_rng(SEED)
    groups, size = VECTORS//128 + 1, 128
    w = rng.integers(-8, 8, (groups, size, CHANNELS))
    x = rng.integers(-128, 128, (groups, size))
    w[0], x[0] = -8, -128
    x[:40] = rng.choice([-128, -1, 0, 127], (40, size))
    lane, present = rng.integers(0, CHANNELS, (groups, size)), rng.random((groups, size)) < 0.8
    value = rng.choice([-128, -9, 8, 127, *rng.integers(-128, 128, 12)], (groups, size))
    run_olaccel(clocked, pack, w, x, lane, value, present)


def run_olaccel(clocked, pack, w, x, lane, value, present):
    """Groups of chunks w (groups, size, CHANNELS) with x (groups, size); where `present` a lane has another value."""
    params = OlAccel()
    unit   = params.create_group()
    groups, size = x.shape
    outlier = (np.arange(CHANNELS) == lane[..., None]) & present[..., None]
    w = np.where(outlier, value[..., None], w)
    present = present & ((value < -8) | (value > 7))
    control = lane | (value >> 4 & 15) << 4 | 1 << 8
    weights = np.stack([pack(w.reshape(-1, CHANNELS), 4), (control*present).ravel().astype(np.uint64)], axis=-1)
    halves  = np.stack([x & 15, x >> 4 & 15 | 16], axis=-1).ravel()
    cycle   = np.tile(np.arange(2*size), groups)
    flush   = 2*unit.latency
    late    = {"weights": np.repeat(weights, 2, axis=0), "activations": halves, "first": cycle == 0,
               "last": cycle == 2*size - 1}
    got = clocked(unit, {name: getattr(unit, name) for name in late}, {"total": unit.total, "done": unit.done})(
        {name: np.concatenate([values, np.zeros((flush, *values.shape[1:]), np.uint64)])
         for name, values in late.items()})
    totals = got["total"][got["done"] == 1]
    totals = np.ascontiguousarray(totals).view(np.uint8).reshape(len(totals), CHANNELS, SUM_BITS//8)
    totals = totals.astype(np.int64) @ (1 << 8*np.arange(3))
    expected = np.stack([params.reference(a, b) for a, b in zip(w, x, strict=True)])
    compare(totals << 64 - SUM_BITS >> 64 - SUM_BITS, expected)
