# SPDX-License-Identifier: BSD-2-Clause
"""The same program on the simulated SoC and on the reference device: the same bits, the same errors."""

import zlib

import numpy as np
import pytest

import mixpe
from mixpe.errors import JobError
from mixpe.gateware.spec.jobs import Job, JobCode

pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")


@pytest.fixture(scope="module")
def sim():
    with mixpe.open("sim", verify="all") as device:
        yield device


@pytest.fixture(scope="module")
def reference(sim):
    with mixpe.open("reference", **{name: sim.info()[name] for name in sim.config.to_dict()}) as device:
        yield device


def same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def random_matrix(seed, n, k, group_size=128, bits=4, symmetric=False):
    rng = np.random.default_rng(seed)
    return mixpe.quantize((0.05*rng.standard_normal((n, k))).astype(np.float32), group_size, symmetric, bits)


def test_identity(sim):
    info = sim.info()
    assert info["mem_bytes"] >= 1 << 24 and info["fused"] and info["rows"] >= 2
    assert sim.bank.read("scratch") == 0
    sim.bank.write("scratch", 0x12345678)
    assert sim.bank.read("scratch") == 0x12345678
    sim.bank.write("scratch", 0)


@pytest.mark.parametrize("size", [16, 32, 48, 4096, 70000//16*16])
def test_checksum_is_crc32(sim, size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    sim.write_memory(1 << 20, data)
    np.testing.assert_array_equal(sim.read_memory(1 << 20, size), data)
    assert sim.checksum(1 << 20, size) == zlib.crc32(data)


@pytest.mark.parametrize("activations", ["a8", "a16"])
@pytest.mark.parametrize("n, k, m, group_size, bits, symmetric", [
    (16, 128, 1, 128, 4, False), (9, 100, 3, 32, 4, False), (40, 256, 8, 64, 4, True), (24, 320, 11, None, 4, False),
    (17, 512, 20, 256, 4, False), (12, 256, 5, 128, 8, False), (8, 33, 2, 32, 8, True),
])
def test_layers(sim, reference, activations, n, k, m, group_size, bits, symmetric):
    matrix = random_matrix(n*k, n, k, group_size, bits, symmetric)
    x = np.random.default_rng(m).standard_normal((m, k)).astype(np.float32)
    xq = np.random.default_rng(m).integers(-128, 128, (m, k), np.int8)
    layers = [device.load(matrix, activations) for device in (sim, reference)]
    same_bits(*[layer(x) for layer in layers])
    same_bits(*[layer.partials(xq) for layer in layers])
    host = sim.load(matrix, activations, fused=False)
    same_bits(host(x), layers[1](x))
    for layer in (*layers, host):
        layer.free()


def test_extremes(sim, reference):
    """Largest group sums of both signs; scales from the smallest FP16 to the largest in one channel."""
    q = np.repeat(np.array([[15], [0], [15], [1]], np.uint8), 256, axis=1)
    scales = np.array([[65504, 2.0**-24], [-65504, 65504], [2.0**-24, -2.0**-14], [0, 1]], np.float16)
    zeros  = np.array([[0, 15], [15, 15], [0, 0], [7, 15]], np.uint8)
    matrix = mixpe.Int4Matrix.from_parts(q, scales, zeros, 128)
    x = np.repeat(np.array([[1], [-1], [0], [1e-7]], np.float32), 256, axis=1)
    extreme = np.repeat(np.array([[-128], [127]], np.int8), 256, axis=1)
    for activations in ("a8", "a16"):
        layers = [device.load(matrix, activations) for device in (sim, reference)]
        same_bits(*[layer(x) for layer in layers])
        same_bits(*[layer.partials(extreme) for layer in layers])


def test_queued_layers(sim, reference):
    """Independent layers posted without waiting, more of them than the queue holds."""
    matrices = [random_matrix(seed, 16, 256) for seed in range(5)]
    x = np.random.default_rng(1).standard_normal((40, 256)).astype(np.float32)
    results = [device.run([(device.load(matrix), x) for matrix in matrices*4]) for device in (sim, reference)]
    for found, expected in zip(*results, strict=True):
        same_bits(found, expected)


@pytest.mark.parametrize("changes, code", [
    ({"n": 0}, JobCode.SHAPE), ({"k": 1 << 20}, JobCode.SHAPE), ({"group": 5}, JobCode.GROUP),
    ({"m": 4096}, JobCode.ROWS), ({"shift": True}, JobCode.UNSUPPORTED), ({"out_addr": (2 << 20) + 8}, JobCode.ALIGN),
    ({"out_addr": 0xFFFFFFF0}, JobCode.MEMORY), ({"out_addr": 1 << 20}, JobCode.OVERLAP),
    ({"out_bytes": 16}, JobCode.SPACE),
])
def test_bad_descriptors(sim, reference, changes, code):
    """The code, the counters, no byte written, and the next job right."""
    matrix = random_matrix(3, 16, 256)
    x = np.random.default_rng(1).standard_normal((8, 256)).astype(np.float32)
    layer = sim.load(matrix)
    good = dict(weights_addr=layer.addrs[0], act_addr=1 << 20, out_addr=2 << 20, n=16, k=256, m=8, group=2,
        out_bytes=64 << 10)
    sim.write_memory(2 << 20, bytes(1024))
    sim.reset_counters()
    assert sim.run_job(Job(**{**good, **changes})).code == code
    counters = sim.counters()
    assert (counters["jobs"], counters["errors"], counters["beats_out"]) == (1, 1, 0)
    assert not sim.read_memory(2 << 20, 1024).any()
    same_bits(layer(x), reference.load(matrix)(x))
    layer.free()


def test_reset_in_the_middle_of_a_job(sim, reference, monkeypatch):
    """Aborted by the driver itself, since it waits too shortly for the job: a typed error, then right numbers."""
    matrix = random_matrix(4, 1024, 1024)
    x = np.random.default_rng(1).standard_normal((8, 1024)).astype(np.float32)
    layer = sim.load(matrix)
    collect = sim.queue.collect

    def impatient():
        with monkeypatch.context() as patch:
            patch.setattr(sim.queue, "limit_s", lambda cycles: 0.0)
            return collect()

    with monkeypatch.context() as patch:
        patch.setattr(sim.queue, "collect", impatient)
        with pytest.raises(JobError, match="did not end within"):
            layer(x)
    same_bits(layer(x), reference.load(matrix)(x))
    layer.free()
