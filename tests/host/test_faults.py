# SPDX-License-Identifier: BSD-2-Clause
"""The driver on a link that fails: right numbers or a typed error, within a limit, and usable after it."""

import time

import numpy as np
import pytest

import mixpe
from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import (
    ContractError,
    DeviceError,
    JobError,
    LinkError,
    LinkTimeout,
    NotMixpeError,
    VerifyError,
)
from mixpe_gateware.contract.digest import VERSION
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.memory_init import INIT_OFFSET
from mixpe_gateware.contract.registers import OFFSETS, STATUS_CHECKSUM, STATUS_READY

ALWAYS = float("inf")


@pytest.fixture
def matrix():
    return mixpe.quantize(np.random.default_rng(1).standard_normal((40, 256)).astype(np.float32), 64)


@pytest.fixture
def x():
    return np.random.default_rng(2).standard_normal((9, 256)).astype(np.float32)


@pytest.fixture
def expected(matrix, x):
    with mixpe.open("reference") as device:
        return device.load(matrix)(x)


def status_at(link):
    return link.bank + OFFSETS["status"]


def used_bytes(device):
    return driver_of(device).memory.total_bytes - driver_of(device).memory.free_bytes


def check_usable(device, layer, x, expected):
    """The next call is right, and no buffer was forgotten."""
    np.testing.assert_array_equal(layer(x), expected)
    layer.free()
    assert used_bytes(device) == 0


def test_sound_link(device, matrix, x, expected):
    check_usable(device, device.load(matrix), x, expected)


@pytest.mark.parametrize("times", [1, 2])
def test_damaged_upload_is_sent_again(device, link, matrix, x, expected, times):
    link.faults["corrupt_writes"] = times
    check_usable(device, device.load(matrix), x, expected)


def test_upload_that_stays_damaged(device, link, matrix, x, expected):
    link.faults["corrupt_writes"] = ALWAYS
    with pytest.raises(VerifyError, match="3 times"):
        device.load(matrix)
    assert used_bytes(device) == 0
    link.faults.clear()
    check_usable(device, device.load(matrix), x, expected)


def test_damaged_activations_are_sent_again(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["corrupt_writes"] = 2
    check_usable(device, layer, x, expected)


def test_damaged_results_are_read_again(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["corrupt_reads"] = 2
    check_usable(device, layer, x, expected)


def test_results_that_stay_damaged(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["corrupt_reads"] = ALWAYS
    with pytest.raises(VerifyError, match="not what it holds"):
        layer(x)
    link.faults.clear()
    check_usable(device, layer, x, expected)


def test_lost_job(device, link, matrix, x, expected):
    """Without reading descriptors back, the level of the queue tells."""
    driver_of(device).queue.verify = False
    layer = device.load(matrix)
    link.faults["lose_jobs"] = 1
    with pytest.raises((JobError, DeviceError)):
        layer(x)
    check_usable(device, layer, x, expected)


def test_only_job_lost(device, link, matrix, x, expected):
    driver_of(device).queue.verify = False
    layer = device.load(matrix)
    link.faults["lose_jobs"] = ALWAYS
    with pytest.raises(JobError, match="holds 0 jobs.*lost on the link"):
        layer(x[:1])
    link.faults.clear()
    check_usable(device, layer, x, expected)


def test_lost_tag_is_seen_when_descriptors_are_read_back(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["lose_jobs"] = 1
    with pytest.raises(LinkError, match="descriptor arrived damaged"):
        layer(x)
    check_usable(device, layer, x, expected)


def test_damaged_job_may_have_written_anywhere(device, link, matrix, x, expected):
    """After a damaged descriptor weights are checked on the device, and sent again where they were hit."""
    layer = device.load(matrix)
    link.faults["damage_jobs"] = 1
    with pytest.raises(LinkError, match="damaged"):
        layer(x)
    assert link.resets >= 2  # at opening, and now
    link.memory[layer.addrs[0] + 100] ^= 1
    link.executor.written(layer.addrs[0] + 100, 1)
    check_usable(device, layer, x, expected)


def test_a_break_of_the_link_between_jobs(device, link, matrix, x, expected):
    """What was posted shortly before it may not have arrived: the queue is emptied, and weights are checked."""
    layer  = device.load(matrix)
    resets = link.resets
    link.memory[layer.addrs[0] + 100] ^= 1
    link.executor.written(layer.addrs[0] + 100, 1)
    link.breaks += 1
    np.testing.assert_array_equal(layer(x), expected)
    assert link.resets == resets + 1
    check_usable(device, layer, x, expected)
    assert link.resets == resets + 1


def test_tags_begin_anywhere(link, matrix, x):
    """What the queue still shows of another session is no job of this one."""
    tags = set()
    for _ in range(4):
        with Device(link, "faulty", floor_s=0.2, rate_hz=1e9) as device:
            device.load(matrix)(x)
            tags.add(link.values["job_tag"])
        link.closed = False
    assert len(tags) == 4


def test_job_that_ends_late(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["hide_ends"] = 5
    check_usable(device, layer, x, expected)


def test_job_that_never_ends(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["hide_ends"] = ALWAYS
    start = time.monotonic()
    with pytest.raises(JobError, match="m=9, n=40, k=256 did not end within"):
        layer(x)
    assert time.monotonic() - start < 3
    assert link.resets >= 2
    check_usable(device, layer, x, expected)


@pytest.mark.parametrize("times", [1, 3])
def test_link_that_stops_answering(device, link, matrix, x, expected, times):
    """Also while the driver cleans up: it tries again at the next use."""
    layer = device.load(matrix)
    link.faults["timeouts"] = times
    for _ in range(times):
        try:
            layer(x)
        except LinkTimeout:
            continue
        break
    assert not link.faults["timeouts"]
    check_usable(device, layer, x, expected)


def test_dead_link_is_an_error_each_time(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.faults["timeouts"] = ALWAYS
    for _ in range(3):
        with pytest.raises(LinkTimeout):
            layer(x)
    link.faults.clear()
    check_usable(device, layer, x, expected)


def test_interrupt_leaves_a_usable_device(device, link, matrix, x, expected, monkeypatch):
    layer = device.load(matrix)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(driver_of(device).queue, "collect", interrupt)
        with pytest.raises(KeyboardInterrupt):
            layer(x)
    assert len(link.done)  # jobs of the interrupted call
    check_usable(device, layer, x, expected)


def test_foreign_job_at_the_head_of_the_queue(device, link, matrix, x, expected):
    layer = device.load(matrix)
    link.done.append((12345, JobCode.OK, 0))
    with pytest.raises(DeviceError, match="12345"):
        layer(x)
    check_usable(device, layer, x, expected)


def test_unknown_end_code(device, link, matrix, x, expected, monkeypatch):
    layer = device.load(matrix)
    with monkeypatch.context() as patch:
        patch.setattr(link.executor, "run", lambda job: 77)
        with pytest.raises(DeviceError, match="code 77"):
            layer(x)
    check_usable(device, layer, x, expected)


def test_device_that_refuses_a_job(device, link, matrix, x, expected, monkeypatch):
    layer = device.load(matrix)
    with monkeypatch.context() as patch:
        patch.setattr(link.executor, "run", lambda job: JobCode.OVERLAP)
        with pytest.raises(JobError, match="overlap") as caught:
            layer(x)
    assert caught.value.code == JobCode.OVERLAP
    check_usable(device, layer, x, expected)


def test_checksum_unit_that_hangs(device, link, matrix, x, expected, monkeypatch):
    read = link._read
    with monkeypatch.context() as patch:
        patch.setattr(link, "_read", lambda addr: read(addr) | (STATUS_CHECKSUM if addr == status_at(link) else 0))
        with pytest.raises(DeviceError, match="checksum of .* did not end within"):
            device.load(matrix)
    assert used_bytes(device) == 0
    check_usable(device, device.load(matrix), x, expected)


# Opening.

@pytest.mark.parametrize("name, value, error, text", [
    ("magic", 0x12345678, NotMixpeError, "no mixpe device.*0x12345678"),
    ("version", VERSION + 1, ContractError, f"version {VERSION + 1} .*this mixpe speaks version {VERSION}"),
    ("digest_low", 1, ContractError, f"contract version {VERSION} "),
    ("digest_high", 1, ContractError, f"contract version {VERSION} "),
    ("rows", 5, ContractError, "rows must be"),
    ("mem_bytes", 0, ContractError, "0 bytes of memory"),
    ("clock_hz", 0, ContractError, "clock of 0 Hz"),
])
def test_not_our_device(link, name, value, error, text):
    link.values[name] = value
    with pytest.raises(error, match=text) as caught:
        Device(link, "faulty")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("done, error, text", [
    (1, 1, "its training failed: power the board off and on, .* a lower --clock-mhz"),
    (0, 0, "its initialisation has not ended, or hangs: wait longer with .*ready_s=60"),
    (0, 1, "its initialisation has not ended"),                    # it is being written
    (0xFFFFFFFF, 0xFFFFFFFF, "its initialisation has not ended"),  # nothing is there
])
def test_memory_that_never_gets_ready(link, monkeypatch, done, error, text):
    read  = link._read
    words = {link.bank + INIT_OFFSET: done, link.bank + INIT_OFFSET + 4: error}

    def unready(addr):
        return words.get(addr, read(addr) & ~(STATUS_READY if addr == status_at(link) else 0))

    monkeypatch.setattr(link, "_read", unready)
    with pytest.raises(DeviceError, match=f"not ready within 0.1 s; {text}") as caught:
        Device(link, "faulty", ready_s=0.1)
    assert "\n" not in str(caught.value)


def test_memory_that_gets_ready_while_the_host_waits(link, monkeypatch):
    """As on a board whose program still trains it."""
    read, looks = link._read, []

    def late(addr):
        if addr != status_at(link):
            return read(addr)
        looks.append(addr)
        return read(addr) & ~(STATUS_READY if len(looks) < 10 else 0)

    monkeypatch.setattr(link, "_read", late)
    with Device(link, "faulty", ready_s=5) as device:
        assert len(looks) >= 10 and driver_of(device).mem_bytes


def test_jobs_of_an_earlier_user_are_thrown_away(link, matrix, x, expected):
    link.done.extend([(7, JobCode.OK, 0), (8, JobCode.SHAPE, 0)])
    with Device(link, "faulty") as device:
        check_usable(device, device.load(matrix), x, expected)


def test_queue_is_kept_full(device, link, matrix):
    """Jobs are posted up to the queue's depth before the first result is collected."""
    layer = device.load(matrix)
    layer(np.ones((80, 256), np.float32))
    assert link.levels == [0, 1, 2, 3, 3]
