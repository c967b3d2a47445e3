# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of UARTBone against a device in Python."""

import numpy as np
import pytest

from mixpe.errors import LinkError, LinkTimeout, RangeError
from mixpe.link import open_link
from mixpe.link.uartbone import read_requests, write_frames

SEED = 20241


def test_frames_are_those_of_the_protocol():
    assert bytes(write_frames(0x40, np.array([0x01020304], np.uint32))) == bytes.fromhex("01 01 00000010 01020304")
    assert bytes(write_frames(0x40, np.array([1, 2], np.uint32), increment=False)) == bytes.fromhex(
        "03 02 00000010 00000001 00000002")
    assert read_requests(0xf0000004, 3).tobytes() == bytes.fromhex("02 03 3c000001")
    assert read_requests(0x0, 256).tobytes() == bytes.fromhex("02 ff 00000000  02 01 000000ff")
    assert read_requests(0x0, 256, increment=False).tobytes() == bytes.fromhex("04 ff 00000000  04 01 00000000")


@pytest.mark.parametrize("n", [1, 2, 254, 255, 256, 509, 510, 511, 64*255, 64*255 + 1, 40_000])
def test_words_come_back(device, n):
    words = np.random.default_rng(SEED + n).integers(0, 1 << 32, n, dtype=np.uint32)
    with open_link(device.url) as link:
        link.write_words(0x4000_0000, words)
        got = link.read_words(0x4000_0000, n)
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, words)


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 4093])
def test_bytes_keep_order_and_neighbours(device, offset, size):
    data = np.random.default_rng(SEED).integers(0, 256, size, dtype=np.uint8)
    with open_link(device.url) as link:
        link.write_bytes(0x100, bytes(b"\xaa"*4200))
        link.write_bytes(0x108 + offset, data)
        got = link.read_bytes(0x100, 4200)
    want = np.full(4200, 0xaa, np.uint8)
    want[8 + offset:8 + offset + size] = data
    np.testing.assert_array_equal(got, want)


def test_memory_is_little_endian(device):
    with open_link(device.url) as link:
        link.write_bytes(0x0, b"\x01\x02\x03\x04")
        assert link.read_word(0x0) == 0x04030201


def test_bulk_upload_is_nearly_all_payload(device):
    data = np.zeros(1_000_000, np.uint8)
    with open_link(device.url) as link:
        link.write_bytes(0x0, data)
        counters = link.counters
    assert counters.written_bytes == data.size
    assert counters.written_bytes/counters.sent_bytes >= 0.97


def test_progress_ends_at_the_size(device):
    seen = []
    with open_link(device.url) as link:
        link.write_bytes(0x0, bytes(200_000), progress=seen.append)
        assert seen[-1] == 200_000 and seen == sorted(seen) and len(seen) > 1
        seen.clear()
        link.read_bytes(0x0, 200_000, progress=seen.append)
        assert seen[-1] == 200_000 and seen == sorted(seen) and len(seen) > 1


@pytest.mark.parametrize("window", [1, 2, 3, 32])
def test_any_window_reads_everything(device, window):
    words = np.arange(5000, dtype=np.uint32)
    with open_link(f"{device.url}?window={window}") as link:
        link.write_words(0x0, words)
        np.testing.assert_array_equal(link.read_words(0x0, 5000), words)


def test_lost_bytes_are_asked_for_again(device):
    with open_link(f"{device.url}?timeout_s=0.2") as link:
        link.write_words(0x10, [5, 6, 7])
        device.drop_bytes = 2
        np.testing.assert_array_equal(link.read_words(0x10, 3), [5, 6, 7])
        assert link.counters.timeouts == 1 and link.counters.retries == 1


def test_timeout_is_an_error_and_never_zeros(device):
    with open_link(f"{device.url}?timeout_s=0.1") as link:
        device.drop_bytes = 1000
        with pytest.raises(LinkTimeout, match="received 0 of 8 bytes, then nothing for 0.1 s"):
            link.read_words(0x10, 2)
        assert link.counters.timeouts == 3  # the read and two more attempts
        device.drop_bytes = 0
        link.write_word(0x10, 77)
        assert link.read_word(0x10) == 77   # usable afterwards


def test_reads_with_effects_are_not_repeated(device):
    with open_link(f"{device.url}?timeout_s=0.1") as link:
        device.drop_bytes = 4
        with pytest.raises(LinkTimeout):
            link.read_words(0x10, 1, increment=False, retry=False)
        assert device.frames.count((4, 1, 4)) == 1


def test_closed_connection_is_an_error(device):
    with open_link(device.url) as link:
        device.cut_after = 1
        with pytest.raises(LinkError, match="the device closed the connection"):
            link.read_word(0x10)


def test_refusal_of_a_second_client_is_understood(device):
    with open_link(device.url) as link:
        link.write_word(0x10, int.from_bytes(b"BSY!", "big"))
        device.cut_after = 3
        with pytest.raises(LinkError, match="another client is connected"):
            link.read_word(0x10)


@pytest.mark.parametrize("call, message", [
    (lambda link: link.read_words(2, 1), "addr must be a multiple of 4"),
    (lambda link: link.read_words(-4, 1), "addr must be a multiple of 4 below"),
    (lambda link: link.read_words(1 << 32, 1), "addr must be a multiple of 4 below"),
    (lambda link: link.read_words(0xffff_fffc, 2), "not in the 32-bit address space"),
    (lambda link: link.write_words(0, [1 << 32]), "words must be 0"),
    (lambda link: link.write_words(0, [-1]), "words must be 0"),
    (lambda link: link.write_words(0, [0.5]), "words must be integers, not float64"),
])
def test_bad_arguments_are_named(device, call, message):
    with open_link(device.url) as link, pytest.raises(RangeError, match=message):
        call(link)


def test_closed_link_is_an_error(device):
    link = open_link(device.url)
    link.close()
    link.close()
    with pytest.raises(LinkError, match="the link is closed"):
        link.read_word(0)
