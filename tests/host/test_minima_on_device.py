# SPDX-License-Identifier: BSD-2-Clause
"""Layers with real minima on the reference device against the reference arithmetic, however they are cut into jobs."""

from fractions import Fraction

import numpy as np
import pytest

import mixpe
from mixpe.devices import linear
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, ContractError
from mixpe.lm.exact import ExactLinear
from mixpe.quant.matrix import Int4Matrix, Int8Matrix
from mixpe.reference import product
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract import reference, wide
from mixpe_gateware.contract.config import PORT_BITS
from mixpe_gateware.contract.digest import digest
from mixpe_gateware.contract.jobs import Job
from mixpe_gateware.contract.registers import OFFSETS
from mixpe_gateware.contract.scaling import Form

FORMS = [Form.MINIMUM, Form.TWO_LEVEL]
KINDS = [Int4Matrix, Int8Matrix]


def usual(rng, shape):
    """Scales as checkpoints have them: a few thousandths, near the smallest normal FP16."""
    return (rng.uniform(1e-5, 4e-3, shape)*rng.choice([1, -1], shape, p=[0.9, 0.1])).astype(np.float16)


def extreme(rng, shape):
    """Any FP16 up to 4094."""
    return (rng.integers(0, 0x6C00, shape) | rng.integers(0, 2, shape) << 15).astype(np.uint16).view(np.float16)


def random_matrix(rng, kind, form, *, n, k, group_size=32, scales=usual, codes=None):
    q = rng.integers(0, codes or 1 << kind.bits, (n, k)).astype(np.uint8)
    group_size = 32 if form == Form.TWO_LEVEL else group_size
    span    = 256 if form == Form.TWO_LEVEL else group_size or k
    entries = n, -(-k//span)
    factors = rng.integers(0, 64, (n, 8*entries[1], 2)).astype(np.uint8) if form == Form.TWO_LEVEL else None
    return kind.from_parts(q, scales(rng, entries), group_size=group_size, minima=scales(rng, entries), factors=factors)


def expected_output(matrix, x, activations):
    """From the reference arithmetic alone: no jobs, no planes, no tiles."""
    padded = np.zeros((len(x), matrix.k_padded), np.float32)
    padded[:, :matrix.k] = x
    if activations == "a8":
        codes, factors = mixpe.quantize_activations(padded)
        shifts = None
    else:
        codes, shifts, factors = wide.align(padded, matrix.span)
    grouped = codes.reshape(len(x), matrix.groups, matrix.span).astype(np.int64)
    weights = matrix.q_padded.reshape(matrix.n, matrix.groups, matrix.span).astype(np.int64)
    partial = np.einsum("mgi,ngi->mng", grouped, weights)
    sums    = reference.dequantise(partial, grouped.sum(axis=2), matrix.scaling, shifts)
    return reference.output(sums, factors), partial


def check(device, matrix, x, activations, fused=None):
    expected, partial = expected_output(matrix, x, activations)
    layer = device.load(matrix, activations, fused)
    assert layer(x).tobytes() == expected.tobytes()
    if activations == "a8":
        np.testing.assert_array_equal(layer.partials(mixpe.quantize_activations(x)[0]), partial)
    layer.free()
    assert driver_of(device).memory.free_bytes == driver_of(device).memory.total_bytes


@pytest.mark.parametrize("activations", ["a8", "a16"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(20))
def test_random_shapes_on_random_devices(seed, form, activations):
    rng = np.random.default_rng([seed, form])
    device = mixpe.open("reference", rows=int(rng.choice([1, 2, 4, 8])), port_bits=int(rng.choice(PORT_BITS)),
        k_max=int(rng.choice([512, 1024, 2048])), buffer_beats=int(rng.choice([64, 256])), scalers=1,
        queue_depth=int(rng.choice([2, 16])), mem_bytes=4 << 20, inbox_bytes=int(rng.choice([0, 16384])))
    with device:
        driver_of(device).out_bytes_max = int(rng.choice([16 << 10, 1 << 20]))
        matrix = random_matrix(rng, KINDS[rng.integers(2)], form, n=int(rng.integers(1, 60)),
            k=int(rng.choice([1, 33, 128, 500, 1100, 2100])), group_size=[32, 64, 128, 256, None][rng.integers(5)],
            scales=[usual, extreme][rng.integers(2)])
        x = rng.standard_normal((int(rng.integers(0, 30)), matrix.k)).astype(np.float32)
        check(device, matrix, x, activations)
        check(device, matrix, x, activations, fused=False)
        assert device.counters()["errors"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_slabs(form, kind):
    """A reduction longer than the device takes at once: two levels are cut where a superblock ends."""
    rng    = np.random.default_rng(1)
    matrix = random_matrix(rng, kind, form, n=19, k=1700)
    with mixpe.open("reference", k_max=512) as device:
        layer = device.load(matrix)
        slabs = layer.plan.slabs
        assert len(slabs) > 3 and not any(slab.start % (256 if form == Form.TWO_LEVEL else 32) for slab in slabs)
        layer.free()
        check(device, matrix, rng.standard_normal((5, 1700)).astype(np.float32), "a8")
        check(device, matrix, rng.standard_normal((5, 1700)).astype(np.float32), "a16")


def test_one_group_in_pieces():
    rng    = np.random.default_rng(2)
    matrix = random_matrix(rng, Int4Matrix, Form.MINIMUM, n=9, k=1500, group_size=None)
    with mixpe.open("reference", k_max=512) as device:
        check(device, matrix, rng.standard_normal((3, 1500)).astype(np.float32), "a8")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("code, sign", [(15, 1), (1, -1)])
def test_largest_values(form, code, sign):
    """Everything at its largest, so that P and XS add up; and so that they cancel to +0."""
    scales = np.full((1, 8 if form == Form.MINIMUM else 1), 65504, np.float16)
    matrix = Int4Matrix.from_parts(np.full((1, 256), code, np.uint8), scales, group_size=32,
        minima=scales*np.float16(sign), factors=np.full((1, 8, 2), 63, np.uint8) if form == Form.TWO_LEVEL else None)
    x = np.repeat(np.array([[-1], [1], [0]], np.float32), 256, axis=1)
    with mixpe.open("reference") as device:
        for activations in ("a8", "a16"):
            check(device, matrix, x, activations)
            check(device, matrix, x, activations, fused=False)
        for activations in ("a8", "a16"):
            y = device.load(matrix, activations)(x)
            zeros = y[2:] if sign == 1 else y
            assert zeros.tobytes() == np.zeros_like(zeros).tobytes() and (sign == -1 or y[1, 0] > 1e8)


def test_layers_of_all_forms_in_one_queue():
    rng = np.random.default_rng(4)
    x   = rng.standard_normal((3, 512)).astype(np.float32)
    matrices = [mixpe.quantize(rng.standard_normal((24, 512)).astype(np.float32), 32),
        *(random_matrix(rng, kind, form, n=24, k=512) for form in FORMS for kind in KINDS)]
    with mixpe.open("reference") as device:
        layers = [device.load(matrix, activations) for matrix in matrices for activations in ("a8", "a16")]
        wanted = [expected_output(matrix, x, activations)[0] for matrix in matrices for activations in ("a8", "a16")]
        assert device.counters()["jobs"] == 0
        for _ in range(2):
            for found, expected in zip(device.run([(layer, x) for layer in layers]), wanted, strict=True):
                assert found.tobytes() == expected.tobytes()


def test_the_form_is_in_the_words_of_its_jobs(monkeypatch):
    rng = np.random.default_rng(5)
    with mixpe.open("reference") as device:
        for form in FORMS:
            for fused in (True, False):
                jobs, queue = [], driver_of(device).queue
                monkeypatch.setattr(queue, "post",
                    lambda job, post=queue.post, jobs=jobs: (jobs.append(job), post(job)))
                matrix = random_matrix(rng, Int4Matrix, form, n=8, k=256)
                device.load(matrix, fused=fused)(np.ones((1, 256), np.float32))
                assert [Job.from_words(job.words()).form for job in jobs] == [form]
                monkeypatch.undo()


def test_streams_in_pieces_are_the_stream(monkeypatch):
    rng    = np.random.default_rng(6)
    matrix = random_matrix(rng, Int8Matrix, Form.TWO_LEVEL, n=45, k=512)
    with mixpe.open("reference") as device:
        whole = device.load(matrix)
        monkeypatch.setattr(linear, "PIECE_BYTES", 10_000)
        parts = device.load(matrix)
        checksum = driver_of(device).checksum
        assert checksum(whole.addrs[0], whole.weight_bytes) == checksum(parts.addrs[0], parts.weight_bytes)


@pytest.mark.parametrize("options", [{"minima": False}, {"fused": False}])
@pytest.mark.parametrize("form", FORMS)
def test_a_device_without_minima_says_so(form, options):
    matrix = random_matrix(np.random.default_rng(7), Int4Matrix, form, n=8, k=256)
    with mixpe.open("reference", **options) as device:
        for fused in (None, True, False):
            with pytest.raises(ConfigError, match="built without minima.*real minimum.*minima=True"):
                device.load(matrix, fused=fused)
        assert driver_of(device).memory.free_bytes == driver_of(device).memory.total_bytes


def test_options():
    """The reference device takes what checkpoints hold, unless it is told to be like one that does not."""
    for url, minima in (("reference", True), ("reference?fused=no", False), ("reference?minima=false", False),
            ("reference?minima=1&rows=4", True)):
        with mixpe.open(url) as device:
            assert device.config.minima is minima
            parts = ("minima",) if minima else ()
            assert device.info()["contract_digest"] == f"{digest(parts):016x}" and device.info()["minima"] is minima
    with pytest.raises(ConfigError, match="fused"):
        mixpe.open("reference?fused=no&minima=yes")


@pytest.mark.parametrize("minima", [False, True])
def test_a_device_is_held_to_the_digest_of_its_own_parts(monkeypatch, minima):
    """One that says it has minima, with the digest of one that has not, is of another contract; and the other way."""
    read = ReferenceLink._read

    def other(self, addr):
        value = digest(() if minima else ("minima",))
        words = {OFFSETS["digest_low"]: value & 0xFFFFFFFF, OFFSETS["digest_high"]: value >> 32}
        return words.get(addr - self.bank, read(self, addr))

    mixpe.open("reference", minima=minima).close()
    monkeypatch.setattr(ReferenceLink, "_read", other)
    with pytest.raises(ContractError, match=f"{digest(('minima',) if minima else ()):016x}"):
        mixpe.open("reference", minima=minima)


# The one product that stands for all groups.

def product_exactly(matrix, a, shifts):
    """F of integer activations in rational numbers."""
    scales, minima = matrix.scaling.of_groups()
    found = np.empty((len(a), matrix.n), object)
    for i, j in np.ndindex(found.shape):
        total = Fraction(0)
        for g in range(matrix.groups):
            part = slice(g*matrix.span, (g + 1)*matrix.span)
            x    = [int(value) << (0 if shifts is None else int(shifts[i, g])) for value in a[i, part]]
            p    = sum(value*int(code) for value, code in zip(x, matrix.q_padded[j, part], strict=True))
            total += Fraction(float(scales[j, g]))*p + Fraction(float(minima[j, g]))*sum(x)
        found[i, j] = total
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("with_shifts", [False, True])
def test_product_is_the_rounded_rational_sum(form, kind, with_shifts):
    """Usual scales: no result is beyond FP64, so none is left to the slow way."""
    rng    = np.random.default_rng([form, kind.bits, with_shifts])
    matrix = random_matrix(rng, kind, form, n=5, k=512, codes=32 if kind is Int8Matrix else None)
    a      = rng.integers(-127, 128, (4, 512))*(128 if with_shifts else 1)
    shifts = rng.integers(0, 6, (4, matrix.groups)) if with_shifts else None
    sums, beyond = product.product_of(matrix.q_padded[:, None], matrix.scaling, 32)(a, shifts)
    assert beyond is None
    for found, exact in zip(sums.reshape(-1), product_exactly(matrix, a, shifts).reshape(-1), strict=True):
        near = np.float32(exact.numerator/exact.denominator)
        assert found == near and not (found == 0 and np.signbit(found))


@pytest.mark.parametrize("scale, minimum, fits", [
    (2.0**-24, 65504, False), (2.0**-24, 2048, True),   # the minimum's size: 127·256 of its steps of 2^-24
    (65504, 2.0**-24, False), (1, 2.0**-24, True),      # its step, which the weights are counted in
])
def test_bounds_count_the_minima_too(scale, minimum, fits):
    matrix = Int4Matrix.from_parts(np.full((1, 256), 15, np.uint8), np.full((1, 1), scale, np.float16),
        group_size=256, minima=np.full((1, 1), minimum, np.float16))
    _, beyond = product.product_of(matrix.q_padded[:, None], matrix.scaling, 256)(np.full((1, 256), 127))
    assert beyond is None if fits else beyond.all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", ["a8", "a16"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scales", [usual, extreme])
def test_exact_linear(form, activations, kind, scales):
    rng    = np.random.default_rng(8)
    matrix = random_matrix(rng, kind, form, n=17, k=700, scales=scales)
    x = rng.standard_normal((5, 700)).astype(np.float32)*np.float32(10)**rng.integers(-3, 3, (5, 1)).astype(np.float32)
    assert ExactLinear(matrix, activations)(x).tobytes() == expected_output(matrix, x, activations)[0].tobytes()


def test_weights_that_are_no_fp32_are_left_to_the_sum_of_groups():
    """255·63 times an odd scale of eleven bits has 25."""
    matrix = Int8Matrix.from_parts(np.full((1, 256), 255, np.uint8), np.array([[2047]], np.float16), group_size=32,
        minima=np.ones((1, 1), np.float16), factors=np.full((1, 8, 2), 63, np.uint8))
    assert product.product_of(matrix.q_padded[:, None], matrix.scaling, 32) is None
    x = np.random.default_rng(9).standard_normal((2, 256)).astype(np.float32)
    assert ExactLinear(matrix)(x).tobytes() == expected_output(matrix, x, "a8")[0].tobytes()
    with mixpe.open("reference") as device:
        check(device, matrix, x, "a8")
