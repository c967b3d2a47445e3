# SPDX-License-Identifier: BSD-2-Clause
"""The host's side of frames: what is on the wire, what it makes of damage, and how it knows a bridge."""

import socket
import time

import numpy as np
import pytest

from mixpe.errors import LinkError, LinkTimeout
from mixpe.link import open_link
from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe.link.framelink import FrameLink
from mixpe.link.frames import FILLER, FrameParser, after, control_frame, down_frame, is_before, read_frame, write_frames
from mixpe.link.recognise import FIRST_S, frames_answer_s
from mixpe.link.uartbone import UartBoneLink
from mixpe.reference.device import MEM_BASE, ReferenceLink
from mixpe_gateware.contract.frames import DATA, END, HERE, POWER_ON, PROBE, START, TAKEN, is_calm
from tests.link.conftest import MEM_BYTES, SMALL, reference_ports


@pytest.fixture
def far():
    """Makes the reference device behind a bridge of some kind."""
    with reference_ports(SMALL, MEM_BYTES) as make:
        yield make


def test_frames_on_the_wire():
    frame = read_frame(2, 0x11223344, 0x0102, 0x4000_0010, 3)
    assert frame.hex(" ", 4) == "d6aac7e5 82030102 11223344 10000004 3f2513a5"
    frame, = write_frames(1, 0x11223344, 7, 0xF000_0000, np.array([5, 6], np.uint32), 4)
    assert frame.hex(" ", 4) == "d6aac7e5 81020007 11223344 3c000000 c1e9e47b 00000005 00000006 a74a71cf"


def test_a_long_write_is_parted_and_numbered():
    frames = write_frames(1, 9, 0xFFFF, 0x100, np.arange(600, dtype=np.uint32), 4)
    assert [len(frame) for frame in frames] == [1048, 1048, 20 + 4*88 + 4]
    assert [frame[5] for frame in frames] == [0, 0, 88]
    assert [int.from_bytes(frame[6:8], "big") for frame in frames] == [0xFFFF, 0, 1]
    assert [4*int.from_bytes(frame[12:16], "big") for frame in frames] == [0x100, 0x500, 0x900]
    fixed = write_frames(3, 9, 0, 0x100, np.arange(600, dtype=np.uint32), 0)
    assert {frame[12:16] for frame in fixed} == {frames[0][12:16]}


def test_numbers_go_round():
    assert after(0xFFFF) == 0 and after(5, -6) == 0xFFFF
    assert is_before(0xFFFF, 3) and is_before(3, 4) and not is_before(4, 4) and not is_before(3, 0xFFFF)


@pytest.mark.parametrize("kind", [PROBE, START, END])
def test_frames_outside_of_sessions_look_like_no_command(kind):
    for _ in range(300):
        number, frame = control_frame(kind, None if kind == PROBE else POWER_ON, POWER_ON if kind == START else None)
        assert len(frame) % 6 == 0 and is_calm(frame) and int.from_bytes(frame[6:8], "big") == number
    assert is_calm(FILLER) and len(FILLER) % 6 == 0 and len(FILLER) > 1048


def test_the_parser_finds_whole_frames_after_any_damage():
    first, last = down_frame(DATA, 1, 2, 3, np.arange(5, dtype=np.uint32)), down_frame(TAKEN, 4, 2, 5)
    for at in range(len(first)):
        for damaged in (first[:at] + first[at + 1:], first[:at + 1] + first[at:], first[:at] + bytes([first[at] ^ 4])
                        + first[at + 1:]):
            parser = FrameParser()
            found  = parser.take(damaged + last)
            if not found:
                parser.skip()
                found = parser.take(b"")
            whole = [each.number for each in found]
            assert whole in ([4], [1, 4]) and (whole == [4] or found[0].words.tolist() == list(range(5)))
            assert whole == [4] or damaged.startswith(first) or damaged.endswith(first)


def test_frames_cut_anywhere_are_put_together():
    data   = down_frame(HERE, 1, 2, 3) + b"noise" + down_frame(DATA, 4, 2, 3, np.arange(2, dtype=np.uint32))
    parser = FrameParser()
    found  = [answer.number for index in range(len(data)) for answer in parser.take(data[index:index + 1])]
    assert found == [1, 4] and parser.noise == 5


class Slow:
    """A bridge whose answers come so much later than the host waits for at first."""

    url, has_backpressure = "slow", False

    def __init__(self, end, late_s):
        self.end, self.late_s, self.answers, self.sent = end, late_s, [], b""

    def send(self, data, _limit_s):
        self.sent += data
        self.answers.append((time.monotonic() + self.late_s, self.end.take(data)))

    def receive(self, limit_s):
        end = time.monotonic() + limit_s
        while (now := time.monotonic()) < end:
            if self.answers and self.answers[0][0] <= now:
                return self.answers.pop(0)[1]
            time.sleep(0.005)
        return b""

    def drain(self, quiet_s):
        while self.receive(quiet_s):
            pass


@pytest.mark.parametrize("bridge, frames", [(ByteEnd, False), (FrameEnd, True)])
def test_a_late_answer_says_what_an_early_one_does(bridge, frames):
    slow = Slow(bridge(ReferenceLink(SMALL, mem_bytes=MEM_BYTES)), 1.3*FIRST_S)
    found = frames_answer_s(slow, 20)
    assert found > FIRST_S if frames else found is None


def test_a_slow_bridge_is_not_asked_again_before_it_answers():
    """Filler before each further try would keep it from answering."""
    for answer_s, is_filled in ((0.0, True), (0.3, False)):
        slow = Slow(FrameEnd(ReferenceLink(SMALL, mem_bytes=MEM_BYTES)), 0.3)
        FrameLink(slow, timeout_s=20, answer_s=answer_s).session.begin()
        assert (FILLER in slow.sent) is is_filled


@pytest.mark.parametrize("bridge, kind", [(ByteEnd, UartBoneLink), (FrameEnd, FrameLink)])
def test_what_a_bridge_takes_is_found_out(far, bridge, kind):
    port = far(bridge)
    for _ in range(2):
        start = time.monotonic()
        with open_link(port.url) as link:
            assert type(link) is kind
            link.write_words(MEM_BASE, [1, 2, 3])
            assert link.read_words(MEM_BASE, 3).tolist() == [1, 2, 3]
            assert link.counters.strays == 0
        assert time.monotonic() - start < 1.5


def test_a_bridge_that_a_killed_host_left_in_a_frame_is_found_out():
    """On a serial port nothing tells the bridge that the host is gone."""
    end = FrameEnd(ReferenceLink(SMALL, mem_bytes=MEM_BYTES))
    end.take(control_frame(START, 0x55555555, POWER_ON)[1] + write_frames(1, 0x55555555, 0, MEM_BASE,
        np.arange(200, dtype=np.uint32), 4)[0][:600])
    assert end.take(FILLER + control_frame(PROBE)[1]) and end.locked


def test_bulk_transfers_are_nearly_all_payload(far):
    with open_link(far(FrameEnd).url) as link:
        link.timeout_s = 60.0  # no probe because of a busy machine
        link.write_bytes(MEM_BASE, np.zeros(1 << 19, np.uint8))
        link.flush()
        sent = vars(link.counters).copy()
        link.read_bytes(MEM_BASE, 1 << 19)
        assert link.counters.read_bytes/(link.counters.received_bytes - sent["received_bytes"]) >= 0.97
    assert sent["written_bytes"]/sent["sent_bytes"] >= 0.97


def test_another_program_that_opens_the_device_is_named(far):
    """As on a serial port that two programs have open."""
    port = far(FrameEnd)
    with open_link(port.url) as link:
        link.write_words(MEM_BASE, [1])
        link.flush()
        port.bridge.session = 0x77777777
        with pytest.raises(LinkError, match="another program has opened the device"):
            link.read_words(MEM_BASE, 1)
        assert link.breaks == 1
        assert link.read_words(MEM_BASE, 1).tolist() == [1]
        port.bridge.session = POWER_ON
        with pytest.raises(LinkError, match="the device was restarted"):
            link.write_words(MEM_BASE, [2])
            link.flush()
        link.write_words(MEM_BASE, [3])
        assert link.read_words(MEM_BASE, 1).tolist() == [3]


class Lossy(FrameEnd):
    """Answers to some frames get lost: `lost` counts down at each answer that is one."""

    lost = ()

    def take(self, data):
        whole = super().take(data)
        kept  = b""
        for answer in FrameParser().take(whole):
            self.seen = getattr(self, "seen", -1) + (answer.kind == DATA)
            if answer.kind != DATA or self.seen not in self.lost:
                kept += down_frame(answer.kind, answer.number, answer.session, answer.due, answer.words)
        return kept


@pytest.mark.parametrize("lost", [(0,), (3,), (5,), (0, 1, 2), (2, 5), tuple(range(6))])
@pytest.mark.parametrize("retry", [True, False])
def test_lost_answers_are_given_again(far, lost, retry):
    """A read whose answer got lost happens once where it must not happen twice."""
    port = far(Lossy)
    port.bridge.lost = lost
    with open_link(port.url) as link:
        words = np.random.default_rng(3).integers(0, 1 << 32, 6*256, dtype=np.uint32)
        link.write_words(MEM_BASE, words)
        before = port.device.counters.read_bytes
        np.testing.assert_array_equal(link.read_words(MEM_BASE, len(words), retry=retry), words)
        assert link.breaks == 0 and link.counters.retries >= 1
        if not retry:
            assert port.device.counters.read_bytes - before == 4*len(words)


def test_silence_is_a_timeout_and_the_end_of_the_session():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"serial+tcp://127.0.0.1:{listener.getsockname()[1]}?timeout_s=0.4"
        start = time.monotonic()
        with open_link(url) as link:  # nobody says what it is
            with pytest.raises(LinkTimeout):
                link.read_word(MEM_BASE)
        assert time.monotonic() - start < 8
