# SPDX-License-Identifier: BSD-2-Clause
"""The framed bridge in Migen's simulator: frames under random stalls, and faults at every byte of a conversation.

What it does with any bytes is what `mixpe.link.byteend.FrameEnd` does with them, which stands beside it.
"""

import random

import numpy as np
import pytest
from migen import passive, run_simulation

from mixpe.link.byteend import FrameEnd
from mixpe.link.frames import FrameParser, after, control_frame, header, read_frame, write_frames
from mixpe.link.uartbone import READ_FIXED, READ_INCREMENT, WRITE_FIXED, WRITE_INCREMENT
from mixpe_gateware.contract.frames import DATA, END, FOREIGN, HERE, LATE, POWER_ON, PROBE, START, TAKEN
from tests.link.bridgebench import MEM_BASE, TIMEOUT_CYCLES, Bench, fast, unwritten

NAME   = 0x55667788
OTHER  = 0x99AABBCC
BUS    = 0xF000_0000
FILLER = b"\xff"*40  # more than any frame of these conversations lacks


class Dictionary:
    """The bus again, for `FrameEnd`."""

    def __init__(self):
        self.words, self.writes = {}, []

    def write_words(self, addr, words, *, increment=True):
        for index, word in enumerate(np.asarray(words).tolist()):
            address = addr//4 + index*increment
            self.words[address] = word
            self.writes.append((address, word))

    def read_words(self, addr, n, *, increment=True):
        places = [addr//4 + index*increment for index in range(n)]
        return np.array([self.words.get(place, unwritten(place)) for place in places], np.uint32)


class Conversation:
    """Frames of one session, numbered as they are made."""

    def __init__(self, name=NAME, number=0):
        self.name, self.number = name, number

    def write(self, addr, words, command=WRITE_INCREMENT):
        frames = write_frames(command, self.name, self.number, addr, np.array(words, np.uint32), 4)
        self.number = after(self.number, len(frames))
        return b"".join(frames)

    def read(self, addr, count, command=READ_INCREMENT):
        frame = read_frame(command, self.name, self.number, addr, count)
        self.number = after(self.number)
        return frame


def opening(name, old, number=None):
    """The frame that opens a session, with some number or a given one."""
    frame = control_frame(START, name, old)[1]
    return frame if number is None else header(START, 0, number, name, old)[0]


def started(old=POWER_ON, name=NAME):
    """A session: the frame that opens it, and its conversation."""
    number, frame = control_frame(START, name, old)
    return frame, Conversation(name, number)


def answers(data):
    """(kind, number, session, words) of all frames in bytes, and nothing else is there."""
    parser = FrameParser()
    found  = [(each.kind, each.number, each.session, [] if each.words is None else each.words.tolist())
              for each in parser.take(data)]
    assert not parser.noise
    return found


def told(found):
    """Kinds and words of answers."""
    return [(kind, words) for kind, _, _, words in found]


def play(data, wide, seed=1):
    """What a bridge answers to bytes, and the bench."""
    bench = Bench(0, wide, seed, framed=True)
    got   = bench.play(data, len(FrameEnd(Dictionary()).take(data)))
    return answers(got.tobytes()), bench


both_widths = pytest.mark.parametrize("wide", [False, True])


@both_widths
@pytest.mark.parametrize("port_bits", [0, 32, 128])
def test_accesses_in_frames_are_those_of_a_dictionary(port_bits, wide):
    rng = random.Random(port_bits + wide)
    start, talk = started()
    data, mirror = bytearray(start), {}
    wanted = [(HERE, [])]
    for _ in range(14):
        fixed   = rng.random() < 0.2
        in_low  = rng.random() < 0.6 and not fixed
        address = MEM_BASE + 4*rng.randrange(64) if in_low else BUS + 4*rng.randrange(8)
        n       = rng.choice([1, 1, 2, 3, 5, 9, 33])
        places  = [address + 4*index*(not fixed) for index in range(n)]
        if rng.random() < 0.5:
            values = [rng.getrandbits(32) for _ in range(n)]
            data += talk.write(address, values, WRITE_FIXED if fixed else WRITE_INCREMENT)
            mirror.update(zip(places, values, strict=True))
            wanted.append((TAKEN, []))
        else:
            data += talk.read(address, n, READ_FIXED if fixed else READ_INCREMENT)
            blank = [0 if port_bits and in_low else unwritten(place//4) for place in places]
            wanted.append((DATA, [mirror.get(place, none) for place, none in zip(places, blank, strict=True)]))
    size  = sum(20 + (4*len(words) + 4 if words else 0) for _, words in wanted)
    bench = Bench(port_bits, wide, port_bits + wide, framed=True)
    assert told(answers(bench.play(bytes(data), size).tobytes())) == wanted


@both_widths
def test_the_longest_frames(wide):
    start, talk = started()
    values = np.random.default_rng(3).integers(0, 1 << 32, 300, dtype=np.uint32).tolist()
    found, _ = play(start + talk.write(BUS, values) + talk.read(BUS, 256) + talk.read(BUS + 1024, 44), wide)
    assert told(found) == [(HERE, []), (TAKEN, []), (TAKEN, []), (DATA, values[:256]), (DATA, values[256:])]


def test_sessions():
    """A start that names an old session opens none, frames of another do nothing, UARTBone is back at the end."""
    plain       = bytes.fromhex("02 01 3c000000")
    start, talk = started()
    stale, _    = started()
    third, last = started(NAME, OTHER)
    write       = talk.write(BUS, [5])
    data = (plain + control_frame(PROBE)[1] + start + plain + write + stale + third + talk.write(BUS, [6])
            + last.read(BUS, 1) + control_frame(END, NAME)[1] + plain + control_frame(END, OTHER)[1])
    bench = Bench(0, True, 2, framed=True)
    got   = bench.play(data + plain, 4 + 8*20 + 28 + 4).tobytes()
    words = [int.from_bytes(got[:4], "big"), int.from_bytes(got[-4:], "big")]
    found = answers(got[4:-4])
    assert words == [unwritten(BUS//4), 5]
    assert [kind for kind, *_ in found] == [HERE, HERE, TAKEN, HERE, HERE, FOREIGN, DATA, HERE, HERE]
    assert [session for _, _, session, _ in found] == [POWER_ON, NAME, NAME, NAME, OTHER, OTHER, OTHER, OTHER, OTHER]
    assert bench.writes == [(BUS//4, 5)]


@both_widths
def test_a_frame_that_comes_again_is_answered_again_and_not_carried_out(wide):
    start, talk = started()
    write, read = talk.write(BUS, [1, 2]), talk.read(BUS, 2, READ_FIXED)
    later, far  = talk.write(BUS, [3]), Conversation(NAME, after(talk.number, 7)).write(BUS, [9])
    found, bench = play(start + write + write + read + later + read + write + far, wide)
    assert told(found) == [(HERE, []), (TAKEN, []), (LATE, []), (DATA, [1, 1]), (TAKEN, []), (DATA, [1, 1]), (LATE, []),
        (LATE, [])]
    assert bench.reads == 2 and bench.writes == [(BUS//4, 1), (BUS//4 + 1, 2), (BUS//4, 3)]


@both_widths
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_that_comes_again_has_each_of_its_words(wide, seed):
    """They are others in memory by then."""
    start, talk = started()
    values = np.random.default_rng(seed).integers(0, 1 << 32, (2, 9), dtype=np.uint32).tolist()
    write, read, later = talk.write(BUS, values[0]), talk.read(BUS, 9), talk.write(BUS, values[1])
    found, bench = play(start + write + read + later + read, wide, seed)
    assert told(found) == [(HERE, []), (TAKEN, []), (DATA, values[0]), (TAKEN, []), (DATA, values[0])]
    assert bench.reads == 9


@both_widths
def test_a_frame_that_was_cut_is_forgotten_after_a_while(wide):
    start, talk = started()
    bench = Bench(0, wide, 4, framed=True)

    cut   = start + talk.write(BUS, [1, 2, 3])[:30]

    def before():
        yield from bench.send(cut)
        for _ in range(TIMEOUT_CYCLES + 50):
            yield

    again = Conversation(NAME, after(talk.number, -1))
    found = answers(bench.play(again.write(BUS, [4]) + again.read(BUS, 1), 20 + 20 + 28, before=before).tobytes())
    assert told(found) == [(HERE, []), (TAKEN, []), (DATA, [4])]


def test_a_host_that_leaves_leaves_nothing_behind():
    """In the middle of a frame, inside a session: the next host's plain command is taken at once."""
    start, talk = started()
    bench = Bench(0, True, 5, framed=True)

    def before():
        yield from bench.send(start + talk.write(BUS, [1, 2, 3])[:31])
        for leaves in (0, 1):
            yield bench.dut.attached.eq(leaves)
            for _ in range(9):
                yield

    got = bench.play(bytes.fromhex("02 01 3c000000"), 24, before=before).tobytes()
    assert told(answers(got[:20])) == [(HERE, [])] and int.from_bytes(got[20:], "big") == unwritten(BUS//4)
    assert not bench.writes


def damages(data, rng):
    """Every fault at every byte: yields bytes."""
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]
        yield data[:at] + data[at + 1:]
        yield data[:at + 1] + data[at:]
        yield data[:at] + bytes([rng.choice([1, 2, 3, 4, 0xD6, rng.randrange(256)])]) + data[at:]
        yield data[:at] + data[at + 3:at + 6] + data[at:at + 3] + data[at + 6:]


def play_parts(bench, parts):
    """Send byte strings one after the other; yields (answers, writes, reads) of each."""
    marks = []

    def settle():
        for _ in range(8):
            yield
        while (yield bench.dut.framing):
            yield
        for _ in range(8):
            yield
        marks.append((len(bench.answers), len(bench.writes), bench.reads))

    def main():
        bench.writes_waiting = 0
        yield from settle()
        for part in parts:
            yield from bench.send(part)
            yield from settle()

    bench.simulate(main())
    for (a, b, c), (d, e, f) in zip(marks, marks[1:], strict=False):
        yield bytes(bench.answers[a:d]), bench.writes[b:e], f - c


@pytest.mark.parametrize("wide, step", [pytest.param(True, 1, marks=pytest.mark.slow), (True, 4), (False, 11)])
def test_every_fault_at_every_byte_of_a_session(wide, step):
    """Nothing is carried out but what was sent, in order and once; and all is as `FrameEnd` has it."""
    number, _ = control_frame(PROBE)
    damaged   = {}
    for name in (NAME, OTHER):  # a trial is a session, and its name is not that of the one before
        talk = Conversation(name, number)
        clean = talk.write(BUS, [1]) + talk.read(BUS, 1) + talk.write(BUS + 4, [2, 3], WRITE_FIXED)
        damaged[name] = list(damages(clean, random.Random(7)))[::step]
    order = [(BUS//4, 1), (BUS//4 + 1, 2), (BUS//4 + 1, 3)]
    parts, old = [], POWER_ON
    for index in range(len(damaged[NAME])):
        name = OTHER if index % 2 else NAME
        parts += [opening(name, old, number), damaged[name][index] + FILLER]
        old = name
    end, counts = FrameEnd(Dictionary()), set()
    for part, (data, writes, _) in zip(parts, play_parts(Bench(0, wide, 8, framed=True), parts), strict=True):
        before = len(end.device.writes)
        assert answers(data) == answers(end.take(part)), part.hex()
        assert writes == end.device.writes[before:] == order[:len(writes)], part.hex()
        counts.add(len(writes))
    assert counts == {0, 1, 3}


@pytest.mark.parametrize("wide, step", [(True, 1), (False, 9)])
def test_every_fault_at_every_byte_of_an_opening_touches_no_bus(wide, step):
    """Outside a session UARTBone's commands are taken, and no damage makes one of a frame that opens or closes."""
    parts = []
    for frame in (control_frame(PROBE)[1], opening(NAME, OTHER), control_frame(END, NAME)[1]):
        parts += list(damages(frame, random.Random(9)))[::step]
    for _, writes, reads in play_parts(Bench(0, wide, 10, framed=True), parts):
        assert not writes and not reads


@pytest.mark.parametrize("is_write, most", [(True, 264), (False, 292)])
def test_cycles_of_a_full_frame(is_write, most):
    """Frames of 256 words one behind the other: most of the wire's cycles carry a word. A read waits for its memory."""
    bench = Bench(32, True, 12, framed=True)
    bench.rng.random  = lambda: 0.0  # no stalls
    bench.rng.randint = lambda low, high: high
    start, talk = started()
    values, count, marks = list(range(256)), 5, []
    frames = [talk.write(MEM_BASE, values) if is_write else talk.read(MEM_BASE, 256) for _ in range(count)]

    size = 20 if is_write else 20 + 4*257  # of an answer

    @passive
    def watch():
        cycle = 0
        while True:
            cycle += 1
            if len(bench.answers) >= 20 + size*(len(marks) + 1):
                marks.append(cycle)
            yield

    def main():
        bench.writes_waiting = 0
        yield from fast(bench.dut.sink, start)
        yield from fast(bench.dut.sink, b"".join(frames))
        while len(marks) < count:
            yield

    run_simulation(bench.dut, [main(), bench.write_side(), bench.read_side(), bench.take_answers(), watch()])
    assert (marks[-1] - marks[0])/(count - 1) <= most
