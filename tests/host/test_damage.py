# SPDX-License-Identifier: BSD-2-Clause
"""Memory that changes, and devices that restart, are swapped or taken over: noticed, named and put right."""

import numpy as np
import pytest

import mixpe
from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import DamageError, DeviceError, RangeError, VerifyError
from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.frames import POWER_ON
from mixpe_gateware.contract.registers import OFFSETS
from tests.link.conftest import reference_ports

MEM_BYTES = 1 << 20
SMALL     = Config(rows=4, port_bits=32, k_max=1024, buffer_beats=64, queue_depth=4, scalers=2)
X         = np.random.default_rng(2).standard_normal((5, 256)).astype(np.float32)


def matrix(seed):
    return mixpe.quantize(np.random.default_rng(seed).standard_normal((40, 256)).astype(np.float32), 64)


def flip(device, offset, bit=1):
    """What a bit of DRAM that flips is: written past the driver."""
    byte = driver_of(device).read_memory(offset//4*4, 4)
    byte[offset % 4] ^= bit
    driver_of(device).link.write_bytes(driver_of(device).mem_base + offset//4*4, byte)


@pytest.fixture
def opened():
    with Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "small", floor_s=0.5) as device:
        yield device


@pytest.fixture
def layers(opened):
    return [opened.load(matrix(seed), name=f"layer {seed}") for seed in range(3)]


@pytest.fixture
def right():
    with mixpe.open("reference") as device:
        return [device.load(matrix(seed))(X) for seed in range(3)]


def check_all(layers, right):
    for layer, expected in zip(layers, right, strict=True):
        np.testing.assert_array_equal(layer(X), expected)


def test_nothing_changed(opened, layers, right):
    assert opened.check() == sum(layer.weight_bytes for layer in layers)
    assert opened.recover() == ()
    layers[1].free()
    assert opened.check() == layers[0].weight_bytes + layers[2].weight_bytes
    check_all([layers[0], layers[2]], [right[0], right[2]])


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_is_named_and_mended_by_the_next_use(opened, layers, right, bit):
    at = np.random.default_rng(bit).integers(0, layers[1].weight_bytes)
    flip(opened, layers[1].addrs[0] + int(at), 1 << bit)
    with pytest.raises(DamageError, match="layer 1.*may be wrong") as caught:
        opened.check()
    assert caught.value.names == ("layer 1",) and isinstance(caught.value, VerifyError)
    check_all(layers, right)
    assert opened.check()


def test_all_that_is_damaged_is_named_and_recovered(opened, layers, right):
    for index in (0, 2):
        flip(opened, layers[index].addrs[0] + 7)
    with pytest.raises(DamageError) as caught:
        opened.check()
    assert set(caught.value.names) == {"layer 0", "layer 2"}
    assert opened.recover() == ("layer 0", "layer 2")
    assert opened.recover() == () and opened.check()
    check_all(layers, right)


def test_memory_that_lost_everything_is_recovered(opened, layers, right):
    driver_of(opened).write_memory(0, np.zeros(MEM_BYTES, np.uint8))
    assert opened.recover() == ("layer 0", "layer 1", "layer 2")
    check_all(layers, right)


def test_only_what_is_damaged_is_sent_again(opened, layers):
    flip(opened, layers[0].addrs[0])
    before = opened.link_bytes()["written"]
    opened.recover()
    sent = opened.link_bytes()["written"] - before
    assert layers[0].weight_bytes <= sent < layers[0].weight_bytes + 200


def test_a_layer_without_a_name_is_named_by_its_shape(opened):
    layer = opened.load(matrix(0))
    flip(opened, layer.addrs[0])
    with pytest.raises(DamageError, match="a layer of 40 x 256"):
        opened.check()


def test_looks_by_age_and_in_pieces(opened, layers):
    sizes = [layer.weight_bytes for layer in layers]
    assert opened.check(older_s=60) == 0
    seen = []
    for _ in range(6):
        before = [layer.looked_s for layer in layers]
        assert opened.check(limit_s=0.0) == sizes[0]
        seen.append([layer.looked_s for layer in layers].index(max(layer.looked_s for layer in layers)))
        assert sum(a != b for a, b in zip(before, [layer.looked_s for layer in layers], strict=True)) == 1
    assert seen == [0, 1, 2, 0, 1, 2]


def test_a_schedule_looks_before_a_layer_is_used(right):
    with Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "small", check_s=0.0) as device:
        layers = [device.load(matrix(seed), name=f"layer {seed}") for seed in range(3)]
        check_all(layers, right)
        flip(device, layers[2].addrs[0] + 3)
        np.testing.assert_array_equal(layers[0](X), right[0])  # only what is used
        for call in (lambda: layers[2](X), lambda: device.run([(layers[0], X), (layers[2], X)])):
            with pytest.raises(DamageError, match="layer 2"):
                call()
            check_all(layers, right)
            flip(device, layers[2].addrs[0] + 3)


def test_a_schedule_waits(right):
    with Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "small", check_s=3600) as device:
        layer = device.load(matrix(0))
        flip(device, layer.addrs[0] + 3)
        layer(X)  # nobody looked
        layer.looked_s -= 3601
        with pytest.raises(DamageError, match="the last 3,601"):
            layer(X)
        np.testing.assert_array_equal(layer(X), right[0])


@pytest.mark.parametrize("check_s", [-1, float("nan")])
def test_a_schedule_that_cannot_be(check_s):
    with pytest.raises(RangeError, match="check_s must be seconds"):
        mixpe.open("reference", check_s=check_s)


def test_the_schedule_is_an_option_of_every_url(port):
    with mixpe.open("reference?check_s=5") as device:
        assert driver_of(device).upkeep.check_s == 5
    with mixpe.open(f"{port(FrameEnd).url}&check_s=0.5") as device:
        assert driver_of(device).upkeep.check_s == 0.5


# Results.

@pytest.fixture
def doubled():
    with Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "small", floor_s=0.5, twice=True) as device:
        yield device


def test_each_job_runs_twice(doubled, right):
    layers = [doubled.load(matrix(seed), fused=seed != 1) for seed in range(3)]
    free   = driver_of(doubled).memory.free_bytes
    check_all(layers, right)
    assert driver_of(doubled).memory.free_bytes == free
    many = np.tile(X, (30, 1))
    np.testing.assert_array_equal(layers[0](many), np.tile(right[0], (30, 1)))
    twice = doubled.counters()["jobs"]
    with Device(ReferenceLink(SMALL, mem_bytes=MEM_BYTES), "small") as device:
        layers = [device.load(matrix(seed), fused=seed != 1) for seed in range(3)]
        check_all(layers, right)
        layers[0](many)
        assert twice == 2*device.counters()["jobs"]


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("fused", [True, False])
def test_a_bit_that_flips_in_results_is_noticed(doubled, right, monkeypatch, copy, fused):
    layer = doubled.load(matrix(0), fused=fused, name="layer 0")
    free, collect, ended = driver_of(doubled).memory.free_bytes, driver_of(doubled).queue.collect, []

    def hit():
        job  = driver_of(doubled).queue._posted[0]
        done = collect()
        if len(ended) == copy:
            driver_of(doubled).link.memory[job.out_addr + 9] ^= 16
        ended.append(job)
        return done

    monkeypatch.setattr(driver_of(doubled).queue, "collect", hit)
    with pytest.raises(DamageError, match="results of layer 0 were not the same twice") as caught:
        layer(X)
    assert caught.value.names == ("layer 0",) and driver_of(doubled).memory.free_bytes == free
    monkeypatch.undo()
    np.testing.assert_array_equal(layer(X), right[0])


def test_twice_in_a_small_memory(right):
    """Buffers are cut so that copies have room, too."""
    with Device(ReferenceLink(SMALL, mem_bytes=64 << 10), "small", twice=True) as device:
        layer = device.load(matrix(0))
        rest  = driver_of(device).memory.allocate(driver_of(device).memory.largest_bytes - 2400)
        np.testing.assert_array_equal(layer(np.tile(X, (9, 1))), np.tile(right[0], (9, 1)))
        driver_of(device).memory.free(rest)


# Devices that are not who they were.

@pytest.fixture
def port():
    """Makes the reference device behind a TCP port and a bridge of some kind."""
    with reference_ports(SMALL, MEM_BYTES) as make:
        yield make


def restart(port):
    """As an FPGA that is loaded again: its memory, registers and bridge know nothing any more."""
    port.device = port.bridge.device = ReferenceLink(SMALL, mem_bytes=MEM_BYTES)
    if isinstance(port.bridge, FrameEnd):
        port.bridge.session, port.bridge.due, port.bridge.locked = POWER_ON, 0, False


@pytest.mark.parametrize("bridge", [ByteEnd, FrameEnd])
@pytest.mark.parametrize("fused", [True, False])
def test_a_device_that_restarts_between_calls(port, right, bridge, fused):
    """No result comes of a memory that is empty: an error that says so, and then everything is right by itself."""
    far = port(bridge)
    with mixpe.open(far.url) as device:
        layers = [device.load(matrix(seed), fused=fused) for seed in range(3)]
        for _ in range(3):
            check_all(layers, right)
            restart(far)
            with pytest.raises(mixpe.MixpeError, match="restarted, and what its memory held is gone"):
                layers[0](X)
            check_all(layers, right)


def test_a_device_that_another_program_opens_is_noticed(opened, layers, right):
    """Where the link knows no sessions: each leaves a mark, and the first sees that it is not its own."""
    link = driver_of(opened).link
    for _ in range(2):
        link.write_word(driver_of(opened).bank.base + OFFSETS["scratch"], 77)
        with pytest.raises(DeviceError, match="another program has opened it; close one of the two"):
            layers[0](X)
        check_all(layers, right)
    link.write_word(driver_of(opened).bank.base + OFFSETS["scratch"], 77)
    with pytest.raises(DeviceError, match="another program has opened it"):
        driver_of(opened).checksum(0, 64)
    assert driver_of(opened).checksum(0, 64) >= 0  # told once
    link.write_word(driver_of(opened).bank.base + OFFSETS["scratch"], 77)
    with pytest.raises(DeviceError, match="another program has opened it"):
        opened.check()
    assert opened.check() and opened.counters()["errors"] == 0


def test_another_device_in_its_place_is_refused(opened, layers, right):
    values = driver_of(opened).link.values
    for name, other in (("mem_bytes", MEM_BYTES//2), ("digest_low", 5), ("rows", 8)):
        before, values[name] = values[name], other
        for _ in range(2):
            with pytest.raises(DeviceError, match=f"another than the one that was opened: its register {name}"):
                opened.recover()
            with pytest.raises(DeviceError, match="another than"):
                layers[0](X)
        values[name] = before
        check_all(layers, right)


def test_memory_that_is_not_ready_after_a_restart(opened, layers, right, monkeypatch):
    """It is waited for, as at opening."""
    from mixpe_gateware.contract.registers import STATUS_READY
    read, looks = driver_of(opened).link._read, []

    def late(addr):
        if addr != driver_of(opened).bank.base + OFFSETS["status"]:
            return read(addr)
        looks.append(addr)
        return read(addr) & ~(STATUS_READY if len(looks) < 10 else 0)

    monkeypatch.setattr(driver_of(opened).link, "_read", late)
    assert opened.recover() == () and len(looks) >= 10
    check_all(layers, right)
