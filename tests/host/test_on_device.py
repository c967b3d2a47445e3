# SPDX-License-Identifier: BSD-2-Clause
"""The same program on the device under test and on the reference device: the same bits, the same errors."""

import zlib

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import JobError
from mixpe.selftest import run_selftest
from mixpe_gateware.contract.jobs import Job, JobCode, check_job

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def reference(dut):
    with mixpe.open("reference", **dut.config.to_dict()) as device:
        yield device


def same_bits(found, expected):
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def random_matrix(seed, n, k, group_size=128, bits=4, symmetric=False):
    rng = np.random.default_rng(seed)
    return mixpe.quantize((0.05*rng.standard_normal((n, k))).astype(np.float32), group_size, symmetric, bits)


def test_the_self_test_passes(dut):
    checks = list(run_selftest(dut))
    assert all(check.ok for check in checks), [str(check) for check in checks]


def test_identity(dut):
    info = dut.info()
    assert info["mem_bytes"] >= 128 << 10 and info["rows"] >= 1 and info["clock_hz"] > 1e6
    driver_of(dut).bank.write("scratch", 0x12345678)
    assert driver_of(dut).bank.read("scratch") == 0x12345678
    driver_of(dut).bank.mark()  # it is the driver's


@pytest.mark.parametrize("size", [16, 32, 48, 4096, 32752])
def test_checksum_is_crc32(dut, size):
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    offset = driver_of(dut).mem_bytes//4
    driver_of(dut).write_memory(offset, data)
    np.testing.assert_array_equal(driver_of(dut).read_memory(offset, size), data)
    assert driver_of(dut).checksum(offset, size) == zlib.crc32(data)


@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
@pytest.mark.parametrize("n, k, m, group_size, bits, symmetric", [
    (16, 128, 1, 128, 4, False), (9, 100, 3, 32, 4, False), (40, 256, 8, 64, 4, True), (24, 320, 11, None, 4, False),
    (17, 512, 20, 256, 4, False), (12, 256, 5, 128, 8, False), (8, 33, 2, 32, 8, True),
])
def test_layers(dut, reference, activations, n, k, m, group_size, bits, symmetric):
    matrix = random_matrix(n*k, n, k, group_size, bits, symmetric)
    x = np.random.default_rng(m).standard_normal((m, k)).astype(np.float32)
    xq = np.random.default_rng(m).integers(-128, 128, (m, k), np.int8)
    layers = [device.load(matrix, activations) for device in (dut, reference)]
    same_bits(*[layer(x) for layer in layers])
    same_bits(*[layer.partials(xq) for layer in layers])
    host = dut.load(matrix, activations, fused=False)
    same_bits(host(x), layers[1](x))
    for layer in (*layers, host):
        layer.free()


def test_extremes(dut, reference):
    """Largest group sums of both signs; scales from the smallest FP16 to the largest in one channel."""
    q = np.repeat(np.array([[15], [0], [15], [1]], np.uint8), 256, axis=1)
    scales = np.array([[65504, 2.0**-24], [-65504, 65504], [2.0**-24, -2.0**-14], [0, 1]], np.float16)
    zeros  = np.array([[0, 15], [15, 15], [0, 0], [7, 15]], np.uint8)
    matrix = mixpe.Int4Matrix.from_parts(q, scales, zeros, 128)
    x = np.repeat(np.array([[1], [-1], [0], [1e-7]], np.float32), 256, axis=1)
    extreme = np.repeat(np.array([[-128], [127]], np.int8), 256, axis=1)
    for activations in ("a8", "a8g", "a16"):
        layers = [device.load(matrix, activations) for device in (dut, reference)]
        same_bits(*[layer(x) for layer in layers])
        same_bits(*[layer.partials(extreme) for layer in layers])


def test_queued_layers(dut, reference):
    """Independent layers posted without waiting, more of them than the queue holds."""
    matrices = [random_matrix(seed, 16, 256) for seed in range(5)]
    x = np.random.default_rng(1).standard_normal((40, 256)).astype(np.float32)
    results = [device.run([(device.load(matrix), x) for matrix in matrices*4]) for device in (dut, reference)]
    for found, expected in zip(*results, strict=True):
        same_bits(found, expected)


@pytest.mark.parametrize("changes, code", [
    ({"n": 0}, JobCode.SHAPE), ({"k": 1 << 20}, JobCode.SHAPE), ({"group": 5}, JobCode.GROUP),
    ({"m": 4096}, JobCode.ROWS), ({"shift": True}, JobCode.UNSUPPORTED), ({"out_addr": "odd"}, JobCode.ALIGN),
    ({"out_addr": 0xFFFFFFF0}, JobCode.MEMORY), ({"out_addr": "activations"}, JobCode.OVERLAP),
    ({"out_bytes": 4}, JobCode.SPACE),
])
def test_bad_descriptors(dut, reference, changes, code):
    """The code, the counters, no byte written, and the next job right."""
    matrix = random_matrix(3, 16, 256)
    m = min(8, dut.config.rows)
    x = np.random.default_rng(1).standard_normal((m, 256)).astype(np.float32)
    layer = dut.load(matrix)
    size   = driver_of(dut).mem_bytes
    places = {"activations": size//4, "results": size//2, "odd": size//2 + 1}
    good = dict(weights_addr=layer.addrs[0], act_addr=places["activations"], out_addr=places["results"], n=16, k=256,
        m=m, group=2, out_bytes=16 << 10)
    assert check_job(Job(**good), dut.config, size) == JobCode.OK
    bad = Job(**{**good, **{name: places.get(value, value) for name, value in changes.items()}})
    # What is wrong first depends on the device's sizes; the reference knows.
    wanted = check_job(bad, dut.config, size)
    assert wanted == code or (wanted != JobCode.OK and "m" in changes)
    driver_of(dut).write_memory(places["results"], bytes(1024))
    dut.reset_counters()
    assert driver_of(dut).run_job(bad).code == wanted
    counters = dut.counters()
    assert (counters["jobs"], counters["errors"], counters["beats_out"]) == (1, 1, 0)
    assert not driver_of(dut).read_memory(places["results"], 1024).any()
    same_bits(layer(x), reference.load(matrix)(x))
    layer.free()


def test_reset_in_the_middle_of_a_job(dut, reference, monkeypatch):
    """Aborted by the driver itself, since it waits too shortly for the job: a typed error, then right numbers."""
    if not dut.url.startswith("sim"):
        pytest.skip("only a simulation is slow enough for the job to be still running when the driver looks")
    matrix = random_matrix(4, 1024, 1024)
    x = np.random.default_rng(1).standard_normal((8, 1024)).astype(np.float32)
    layer = dut.load(matrix)
    collect = driver_of(dut).queue.collect

    def impatient():
        with monkeypatch.context() as patch:
            patch.setattr(driver_of(dut).queue, "limit_s", lambda cycles: 0.0)
            return collect()

    with monkeypatch.context() as patch:
        patch.setattr(driver_of(dut).queue, "collect", impatient)
        with pytest.raises(JobError, match="did not end within"):
            layer(x)
    same_bits(layer(x), reference.load(matrix)(x))
    layer.free()
