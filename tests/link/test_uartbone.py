# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of UARTBone against a device in Python. What both links promise is in test_protocol.py."""

import numpy as np
import pytest

from mixpe.errors import LinkError, LinkTimeout
from mixpe.link import open_link
from mixpe.link.uartbone import read_requests, write_frames


def test_frames_are_those_of_the_protocol():
    assert bytes(write_frames(0x40, np.array([0x01020304], np.uint32))) == bytes.fromhex("01 01 00000010 01020304")
    assert bytes(write_frames(0x40, np.array([1, 2], np.uint32), increment=False)) == bytes.fromhex(
        "03 02 00000010 00000001 00000002")
    assert read_requests(0xf0000004, 3).tobytes() == bytes.fromhex("02 03 3c000001")
    assert read_requests(0x0, 256).tobytes() == bytes.fromhex("02 ff 00000000  02 01 000000ff")
    assert read_requests(0x0, 256, increment=False).tobytes() == bytes.fromhex("04 ff 00000000  04 01 00000000")


def test_bulk_upload_is_nearly_all_payload(device):
    data = np.zeros(1_000_000, np.uint8)
    with open_link(device.url) as link:
        link.write_bytes(0x0, data)
        counters = link.counters
    assert counters.written_bytes == data.size
    assert counters.written_bytes/counters.sent_bytes >= 0.97


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
        with pytest.raises(LinkTimeout, match="received 0 of 4 bytes, then nothing for 0.1 s"):
            link.read_words(0x10, 2)
        assert link.counters.timeouts == 3  # the read and two more attempts
        device.drop_bytes = 0
        link.write_word(0x10, 77)
        assert link.read_word(0x10) == 77   # usable afterwards


@pytest.mark.parametrize("late", [1, 2, 3, 4])
@pytest.mark.parametrize("retry", [True, False])
def test_a_late_answer_is_not_taken_for_another(device, late, retry):
    """A device that stood still answers everything at once, when it is asked for something else."""
    device.words = {4 + index: 100 + index for index in range(8)}
    with open_link(f"{device.url}?timeout_s=0.1") as link:
        assert link.read_word(0x10) == 100
        device.late = late
        failures = 0
        while device.late:
            try:
                link.read_words(0x14, 3, retry=retry)
            except LinkTimeout:
                failures += 1
        assert failures or retry
        link.write_word(0x20, 7)
        for index, value in enumerate([100, 101, 102, 103, 7, 105]):
            assert link.read_words(0x10 + 4*index, 1, retry=retry).tolist() == [value]


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
