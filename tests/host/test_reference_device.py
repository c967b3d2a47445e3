# SPDX-License-Identifier: BSD-2-Clause
"""Layers on the reference device against the reference arithmetic, however they are cut into jobs."""

from dataclasses import replace

import numpy as np
import pytest

import mixpe
from mixpe.devices import linear
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, DeviceError, DeviceMemoryError, DtypeError, LinkError, RangeError, ShapeError
from mixpe.reference import execute
from mixpe_gateware.contract import narrow, reference, wide
from mixpe_gateware.contract.config import PORT_BITS
from mixpe_gateware.contract.jobs import Job, JobCode
from mixpe_gateware.contract.timing import memory_timing, predict


def random_layer(seed, *, n, k, m, group_size=128, bits=4, symmetric=False):
    rng = np.random.default_rng(seed)
    w = (0.05*rng.standard_normal((n, k))).astype(np.float32)
    x = rng.standard_normal((m, k)).astype(np.float32)
    return mixpe.quantize(w, group_size, symmetric, bits), x


def expected_output(matrix, x, activations="a8"):
    """From the reference arithmetic alone: no jobs, no planes, no tiles."""
    padded = np.zeros((len(x), matrix.k_padded), np.float32)
    padded[:, :matrix.k] = x
    if activations == "a8":
        codes, factors = mixpe.quantize_activations(padded)
        shifts = None
    else:
        codes, shifts, factors = (wide if activations == "a16" else narrow).align(padded, matrix.span)
    grouped = codes.reshape(len(x), matrix.groups, matrix.span).astype(np.int64)
    weights = matrix.q_padded.reshape(matrix.n, matrix.groups, matrix.span).astype(np.int64)
    partial = np.einsum("mgi,ngi->mng", grouped, weights)
    sums = reference.accumulate(partial, grouped.sum(axis=2), matrix.scales, matrix.zeros, shifts)
    return reference.output(sums, factors), partial


def check(device, matrix, x, activations, fused=None):
    expected, partial = expected_output(matrix, x, activations)
    layer = device.load(matrix, activations, fused)
    found = layer(x)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    if activations == "a8":
        found = layer.partials(mixpe.quantize_activations(x)[0])
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, partial)
    layer.free()
    assert driver_of(device).memory.free_bytes == driver_of(device).memory.total_bytes
    assert driver_of(device).inbox.free_bytes == driver_of(device).inbox.total_bytes


@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
@pytest.mark.parametrize("seed", range(40))
def test_random_shapes_on_random_devices(seed, activations):
    rng = np.random.default_rng(seed)
    device = mixpe.open("reference", rows=int(rng.choice([1, 2, 4, 8])), port_bits=int(rng.choice(PORT_BITS)),
        k_max=int(rng.choice([512, 1024, 2048])), buffer_beats=int(rng.choice([64, 256])), scalers=1,
        queue_depth=int(rng.choice([2, 16])), mem_bytes=4 << 20, verify=str(rng.choice(["all", "weights"])),
        inbox_bytes=int(rng.choice([0, 1024, 16384])))
    with device:
        driver_of(device).out_bytes_max = int(rng.choice([16 << 10, 1 << 20]))
        matrix, x = random_layer(seed, n=int(rng.integers(1, 80)), k=int(rng.choice([1, 33, 128, 500, 1100, 2100])),
            m=int(rng.integers(0, 40)), group_size=[32, 64, 128, 256, None][rng.integers(5)],
            bits=int(rng.choice([4, 8])), symmetric=bool(rng.integers(2)))
        check(device, matrix, x, activations)
        check(device, matrix, x, activations, fused=False)
        assert device.counters()["errors"] == 0


@pytest.mark.parametrize("k, group_size", [(16384, 128), (16384, None), (20000, 32), (40000, None)])
def test_longest_reductions(k, group_size):
    with mixpe.open("reference") as device:
        matrix, x = random_layer(1, n=9, k=k, m=3, group_size=group_size)
        layer = device.load(matrix)
        assert layer.fused == (k <= 16384)
        layer.free()
        check(device, matrix, x, "a8")


def test_many_channels():
    """More than one job takes, and no multiple of a block."""
    with mixpe.open("reference", mem_bytes=16 << 20) as device:
        matrix, x = random_layer(2, n=65536 + 13, k=32, m=1, group_size=32)
        check(device, matrix, x, "a8")
        assert device.counters()["jobs"] > 1


def test_extreme_values():
    """Every group sum at its largest and smallest, through both modes."""
    q = np.repeat(np.array([[15], [0]], np.uint8), 256, axis=1)
    scales = np.array([[65504, 2.0**-24], [-65504, 65504]], np.float16)
    matrix = mixpe.Int4Matrix.from_parts(q, scales, np.array([[0, 15], [15, 15]], np.uint8), 128)
    x = np.repeat(np.array([[1], [-1], [0]], np.float32), 256, axis=1)
    with mixpe.open("reference") as device:
        check(device, matrix, x, "a8")
        check(device, matrix, x, "a8", fused=False)
        check(device, matrix, x, "a8g")
        check(device, matrix, x, "a16")
        extreme = np.full((1, 256), -128, np.int8)
        assert device.load(matrix).partials(extreme)[0, 0].tolist() == [-128*15*128]*2


def test_a16_is_better_than_a8():
    matrix, x = random_layer(3, n=64, k=512, m=16)
    exact = x.astype(np.float64) @ matrix.dequantize().T.astype(np.float64)
    with mixpe.open("reference") as device:
        noise = [np.square(device.load(matrix, kind)(x) - exact).sum() for kind in ("a8", "a16")]
    assert noise[1] < noise[0]/100


def test_a_scale_per_group_keeps_what_is_small():
    """One value of a token is large, as in real models: the other groups keep their bits."""
    matrix, x = random_layer(3, n=64, k=512, m=16, group_size=32)
    x[:, 5] = 100
    exact = x.astype(np.float64) @ matrix.dequantize().T.astype(np.float64)
    with mixpe.open("reference") as device:
        noise = [np.square(device.load(matrix, kind)(x) - exact).sum() for kind in ("a8", "a8g")]
    assert noise[1] < noise[0]/5


def test_w8_is_better_than_w4():
    rng = np.random.default_rng(9)
    w, x = rng.standard_normal((64, 512)).astype(np.float32), rng.standard_normal((8, 512)).astype(np.float32)
    exact = x.astype(np.float64) @ w.T.astype(np.float64)
    with mixpe.open("reference") as device:
        noise = [np.square(device.load(mixpe.quantize(w, bits=bits), "a16")(x) - exact).sum() for bits in (4, 8)]
    assert noise[1] < noise[0]/100


def test_float16_activations():
    matrix, x = random_layer(4, n=16, k=128, m=4)
    half = x.astype(np.float16)
    with mixpe.open("reference") as device:
        for kind in ("a8", "a8g", "a16"):
            layer = device.load(matrix, kind)
            np.testing.assert_array_equal(layer(half), layer(half.astype(np.float32)))


def test_no_tokens():
    matrix, _ = random_layer(5, n=16, k=256, m=1)
    with mixpe.open("reference") as device:
        layer = device.load(matrix)
        assert layer(np.zeros((0, 256), np.float32)).shape == (0, 16)
        assert layer.partials(np.zeros((0, 256), np.int8)).shape == (0, 16, 2)
        assert device.counters()["jobs"] == 0


def test_independent_layers_share_their_input():
    """One upload for layers that are given the same array; the results are those of single calls."""
    matrix, x = random_layer(6, n=48, k=512, m=5)
    other, _ = random_layer(7, n=24, k=512, m=5)
    with mixpe.open("reference") as device:
        layers = [device.load(matrix), device.load(other), device.load(other, "a16"), device.load(matrix, fused=False),
            device.load(other, "a8g")]
        single = [layer(x) for layer in layers]
        before = device.link_bytes()["written"]
        together = device.run([(layer, x) for layer in layers])
        written = device.link_bytes()["written"] - before
        for found, expected in zip(together, single, strict=True):
            np.testing.assert_array_equal(found, expected)
        assert written < 5*512 + 10*512 + 10*16 + 5*512 + 5*16 + 5*1000
        assert device.run([]) == []


def test_activations_take_the_inbox_where_they_fit_it(monkeypatch):
    """What finds no room there, and all of a device that verifies everything, goes to the memory."""
    matrix, x = random_layer(8, n=16, k=512, m=64)
    for options, expected in (({"inbox_bytes": 4096}, 3), ({"inbox_bytes": 2048}, 1), ({"inbox_bytes": 1024}, 0),
            ({}, 0), ({"inbox_bytes": 4096, "verify": "all"}, 0)):
        with mixpe.open("reference", **options) as device:
            jobs = []
            queue, mem_bytes = driver_of(device).queue, driver_of(device).mem_bytes
            monkeypatch.setattr(queue, "post", lambda job, post=queue.post, jobs=jobs: (jobs.append(job), post(job)))
            layer = device.load(matrix, "a16", fused=True)
            inputs = [x[:1], x[1:2] + 1, x[2:3] + 2]  # two rows of 512 bytes each and their shifts
            found = device.run([(layer, each) for each in inputs])
            for each, y in zip(inputs, found, strict=True):
                np.testing.assert_array_equal(y, expected_output(matrix, each, "a16")[0])
            assert [job.act_addr >= mem_bytes for job in jobs] == [index < expected for index in range(3)]
            layer(x)
            assert jobs[-1].act_addr < mem_bytes
            if options.get("inbox_bytes"):
                with pytest.raises(DeviceMemoryError, match="outside the device's inbox"):
                    driver_of(device).write_memory(mem_bytes + options["inbox_bytes"] - 4, np.zeros(8, np.uint8))
                driver_of(device).write_memory(mem_bytes + 8, np.arange(8, dtype=np.uint8))
                assert driver_of(device).read_memory(mem_bytes + 8, 8).tolist() == list(range(8))
            else:
                with pytest.raises(DeviceMemoryError, match="outside the device's memory"):
                    driver_of(device).write_memory(driver_of(device).mem_bytes, np.zeros(8, np.uint8))


def test_memory_that_is_short_slows_down_only():
    """Little more than the weights fit: buffers are recycled between jobs."""
    matrix, x = random_layer(8, n=256, k=512, m=64)
    with mixpe.open("reference", mem_bytes=112 << 10, rows=2, scalers=1, k_max=512) as device:
        check(device, matrix, x, "a8")
        check(device, matrix, x, "a8g")
        check(device, matrix, x, "a16")


def test_memory_that_is_too_small():
    matrix, x = random_layer(8, n=256, k=512, m=64)
    with mixpe.open("reference", mem_bytes=64 << 10) as device:
        with pytest.raises(DeviceMemoryError, match="KiB.*do not fit.*64 KiB"):
            device.load(matrix)
        assert driver_of(device).memory.free_bytes == 64 << 10
        small, x = random_layer(8, n=8, k=64, m=3, group_size=64)
        check(device, small, x, "a8")


def test_fewer_rows_a_job_where_memory_is_short():
    """What the array would take at once does not fit: jobs get fewer rows, down to one."""
    matrix, x = random_layer(8, n=64, k=512, m=8)
    for mem_bytes in (20 << 10, 24 << 10):
        for rows in (2, 8):
            with mixpe.open("reference", mem_bytes=mem_bytes, rows=rows) as device:
                check(device, matrix, x, "a8")


def test_no_room_for_activations():
    """Not one row fits beside the weights: an error that says so, at once, and nothing stays behind."""
    matrix, x = random_layer(8, n=8, k=4096, m=8)
    with mixpe.open("reference", mem_bytes=20 << 10) as device:
        layer = device.load(matrix)
        free_bytes = driver_of(device).memory.free_bytes
        assert free_bytes < 4096
        for rows in (8, 1):
            with pytest.raises(DeviceMemoryError, match="do not fit"):
                layer(x[:rows])
            assert driver_of(device).memory.free_bytes == free_bytes
        layer.free()
        small, x = random_layer(8, n=8, k=64, m=3, group_size=64)
        check(device, small, x, "a8")


def test_freed_layers_make_room():
    matrix, x = random_layer(8, n=256, k=512, m=1)
    with mixpe.open("reference", mem_bytes=112 << 10) as device:
        for _ in range(20):
            layer = device.load(matrix)
            layer.free()
            layer.free()
        with pytest.raises(DeviceError, match="freed"):
            layer(x)
        with pytest.raises(DeviceError, match="freed"):
            layer.partials(np.zeros((1, 512), np.int8))


def test_counters_and_reset():
    matrix, x = random_layer(10, n=16, k=256, m=8)
    with mixpe.open("reference") as device:
        layer = device.load(matrix)
        layer(x)
        job = Job(weights_addr=layer.addrs[0], act_addr=0, out_addr=0, n=16, k=256, m=8, group=2, out_bytes=0)
        counters = device.counters()
        assert counters["jobs"] == 1 and counters["errors"] == 0
        assert counters["beats_in"] == (job.weight_bytes(device.config) + 8*256)//16
        assert counters["beats_out"] == 16*8*4//16
        assert counters["busy"] == 16*256//32
        prediction = predict(replace(job, fused=True), device.config, memory_timing(device.config))
        assert counters["cycles"] == round(prediction.total)
        device.reset_counters()
        assert not any(device.counters().values())


def test_what_the_link_says_of_a_job_is_an_error(monkeypatch):
    """Not a result of nothing; and the next job is right."""
    with mixpe.open("reference", mem_bytes=1 << 20) as device:
        driver, lost = driver_of(device), LinkError("the cable was pulled")
        good = Job(weights_addr=0, act_addr=512 << 10, out_addr=768 << 10, n=16, k=256, m=8, group=2,
            out_bytes=64 << 10)

        def fail():
            raise lost

        monkeypatch.setattr(driver.queue, "collect", fail)
        with pytest.raises(LinkError) as error:
            driver.run_job(good)
        assert error.value is lost
        monkeypatch.undo()
        assert driver.run_job(good).code == JobCode.OK


@pytest.mark.parametrize("changes, code", [
    ({"n": 0}, JobCode.SHAPE), ({"group": 5}, JobCode.GROUP), ({"m": 4096}, JobCode.ROWS), ({"shift": True},
    JobCode.UNSUPPORTED), ({"out_addr": 8}, JobCode.ALIGN), ({"out_addr": 0xFFFFFFF0}, JobCode.MEMORY),
    ({"out_addr": 0}, JobCode.OVERLAP), ({"out_bytes": 16}, JobCode.SPACE),
])
def test_bad_descriptors_change_nothing(changes, code):
    """Code, counters, memory as before, and the next job right."""
    matrix, x = random_layer(11, n=16, k=256, m=8)
    with mixpe.open("reference", mem_bytes=1 << 20) as device:
        layer = device.load(matrix)
        good = dict(weights_addr=layer.addrs[0], act_addr=512 << 10, out_addr=768 << 10, n=16, k=256, m=8, group=2,
            out_bytes=64 << 10)
        before = driver_of(device).link.memory.copy()
        assert driver_of(device).run_job(Job(**{**good, **changes})).code == code
        np.testing.assert_array_equal(driver_of(device).link.memory, before)
        counters = device.counters()
        assert (counters["jobs"], counters["errors"], counters["beats_out"]) == (1, 1, 0)
        assert driver_of(device).run_job(Job(**good)).code == JobCode.OK
        np.testing.assert_array_equal(layer(x), expected_output(matrix, x)[0])


def test_weights_written_over_are_noticed():
    """The reference keeps unpacked weights, but never beyond a write to their bytes."""
    matrix, x = random_layer(12, n=16, k=256, m=8)
    other, _ = random_layer(13, n=16, k=256, m=8)
    with mixpe.open("reference") as device:
        layer, second = device.load(matrix), device.load(other)
        layer(x), second(x)
        driver = driver_of(device)
        driver.write_memory(layer.addrs[0], driver.read_memory(second.addrs[0], second.weight_bytes))
        np.testing.assert_array_equal(layer(x), second(x))


def test_memory_access():
    with mixpe.open("reference", mem_bytes=1 << 20) as device:
        driver_of(device).write_memory(4096, bytes(range(64)))
        assert driver_of(device).read_memory(4096, 64).tobytes() == bytes(range(64))
        assert driver_of(device).checksum(4096, 64) == 0x100ECE8C
        for offset, size in ((-4, 8), ((1 << 20) - 4, 8), (1 << 30, 4)):
            with pytest.raises(DeviceMemoryError, match="end outside"):
                driver_of(device).read_memory(offset, size)
        with pytest.raises(DeviceMemoryError):
            driver_of(device).write_memory((1 << 20) - 4, bytes(8))
        with pytest.raises(ShapeError, match="whole beats"):
            driver_of(device).checksum(4, 16)


# Bad input.

@pytest.fixture
def device():
    with mixpe.open("reference") as device:
        yield device


@pytest.mark.parametrize("x, error, text", [
    (np.zeros((2, 256), np.int8), DtypeError, "int8"), ([["0.0"]*256], DtypeError, "numbers"),
    (np.zeros(255, np.float32), ShapeError, r"\(m, 256\).*\(255,\)"),
    (np.zeros((2, 255), np.float32), ShapeError, r"\(m, 256\).*\(2, 255\)"),
    (np.full((2, 256), np.nan, np.float32), RangeError, "finite"),
    (np.full((2, 256), np.inf, np.float16), RangeError, "finite"),
])
@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
def test_bad_activations(device, x, error, text, activations):
    matrix, good = random_layer(14, n=8, k=256, m=2)
    layer = device.load(matrix, activations)
    with pytest.raises(error, match=text):
        layer(x)
    assert device.counters()["jobs"] == 0
    np.testing.assert_array_equal(layer(good), expected_output(matrix, good, activations)[0])


@pytest.mark.parametrize("xq, error, text", [
    (np.zeros((2, 256), np.float32), DtypeError, "float32"), (np.zeros((2, 256), np.uint8), DtypeError, "uint8"),
    ([[0]*256], DtypeError, "list"), (np.zeros((2, 128), np.int8), ShapeError, r"\(2, 128\)"),
    (np.zeros((1, 2, 256), np.int8), ShapeError, r"\(1, 2, 256\)"),
])
def test_bad_codes(device, xq, error, text):
    layer = device.load(random_layer(14, n=8, k=256, m=2)[0])
    with pytest.raises(error, match=text):
        layer.partials(xq)


def test_bad_loads(device):
    matrix, _ = random_layer(14, n=8, k=256, m=2)
    with pytest.raises(DtypeError, match="ndarray"):
        device.load(np.zeros((8, 256), np.float32))
    with pytest.raises(RangeError, match="'a4'"):
        device.load(matrix, "a4")
    with pytest.raises(ConfigError, match="leave fused out"):
        with mixpe.open("reference", fused=False) as plain:
            plain.load(matrix, fused=True)


def test_layers_stay_on_their_device(device):
    matrix, x = random_layer(14, n=8, k=256, m=2)
    layer = device.load(matrix)
    with mixpe.open("reference") as other:
        with pytest.raises(DeviceError, match="cannot run on"):
            other.run([(layer, x)])


def test_closed_device():
    matrix, x = random_layer(14, n=8, k=256, m=2)
    device = mixpe.open("reference")
    layer = device.load(matrix)
    device.close()
    device.close()
    for use in (lambda: layer(x), lambda: device.load(matrix), device.counters,
                lambda: driver_of(device).read_memory(0, 4)):
        with pytest.raises(DeviceError, match="closed"):
            use()


@pytest.mark.parametrize("bits", [4, 8])
def test_sums_that_need_more_than_53_bits(bits):
    """Scales over all of FP16 and activations over all of their range: results as the contract adds them up."""
    rng    = np.random.default_rng(3)
    kind   = mixpe.Int4Matrix if bits == 4 else mixpe.Int8Matrix
    scales = np.tile(np.array([4e3, 6e-8, 1, 6e-8], np.float16), (9, 1))
    matrix = kind.from_parts(rng.integers(0, 1 << bits, (9, 512), np.uint8), scales)
    x = rng.standard_normal((3, 512)).astype(np.float32)
    x[1, 128:256] *= np.float32(2e4)
    with mixpe.open("reference") as device:
        check(device, matrix, x, "a16")
        check(device, matrix, x, "a8g")


def test_weights_that_do_not_fit_the_budget(monkeypatch):
    monkeypatch.setattr(execute, "CACHE_BYTES", 100_000)  # each layer takes 66 kB
    with mixpe.open("reference") as device:
        layers = [(device.load(matrix), matrix, x) for matrix, x in (random_layer(i, n=64, k=256, m=2)
            for i in range(4))]
        for _ in range(2):
            for layer, matrix, x in layers:
                assert layer(x).tobytes() == expected_output(matrix, x)[0].tobytes()
            assert 0 < driver_of(device).link.executor._cached_bytes <= 100_000


def test_a_layer_that_can_be_made_again_keeps_no_matrix():
    matrix, x = random_layer(5, n=40, k=256, m=2)
    with mixpe.open("reference") as device:
        made  = []
        layer = device.load(matrix, remake=lambda: made.append(1) or matrix)
        first = layer(x)
        assert not made and layer.shape == (40, 256)
        driver_of(device).write_memory(layer.addrs[0], np.zeros(64, np.uint8))
        driver_of(device).epoch += 1
        assert layer(x).tobytes() == first.tobytes() and made
        assert device.load(matrix, fused=False, remake=None)(x).tobytes() == first.tobytes()


def test_streams_in_pieces_are_the_stream(monkeypatch):
    matrix, x = random_layer(6, n=45, k=512, m=2, bits=8)
    with mixpe.open("reference") as device:
        whole = device.load(matrix)
        monkeypatch.setattr(linear, "PIECE_BYTES", 10_000)
        parts = device.load(matrix)
        checksum = driver_of(device).checksum
        assert checksum(whole.addrs[0], whole.weight_bytes) == checksum(parts.addrs[0], parts.weight_bytes) \
            == parts.crcs[0]
        assert parts(x).tobytes() == whole(x).tobytes()
