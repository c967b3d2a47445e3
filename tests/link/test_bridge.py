# SPDX-License-Identifier: BSD-2-Clause
"""The gateware bridge in Migen's simulator, driven with the host's own commands of UARTBone.

Without a memory path, as on boards, the bus takes all of them. The bridge that takes frames does the same, but that it
writes nothing of a command that was cut. A test passes when memory, bus and answers are those of the same accesses on a
dictionary.
"""

import random

import numpy as np
import pytest
from migen import passive, run_simulation

from mixpe.link.uartbone import read_requests, write_frames
from tests.link.bridgebench import MEM_BASE, MEM_BYTES, TIMEOUT_CYCLES, Bench, fast

both = pytest.mark.parametrize("framed", [False, True])


@both
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("port_bits", [0, 16, 32, 64, 128])
def test_random_frames_are_those_of_a_dictionary(port_bits, wide, framed):
    seed = port_bits + wide
    rng = random.Random(seed)
    bench = Bench(port_bits, wide, seed, framed)
    words, bus = {}, {}
    data, want = bytearray(), []

    def expected(address):
        if port_bits and MEM_BASE <= address < MEM_BASE + MEM_BYTES:
            return words.get(address, 0)
        return bus.get(address//4, 0xdead_0000 + (address//4 & 0xffff))

    for _ in range(24):
        low = rng.random() < 0.75
        in_memory = low and port_bits
        n = rng.choice([1, 1, 2, 3, 4, 5, 7, 8, 9, 31])
        address = (MEM_BASE + 4*rng.randrange(0, 64) if low else 0xf000_0000 + 4*rng.randrange(0, 8))
        if rng.random() < 0.5:
            values = [rng.getrandbits(32) for _ in range(n)]
            data += bytes(write_frames(address, np.array(values, np.uint32)))
            for i, value in enumerate(values):
                if in_memory:
                    words[address + 4*i] = value
                else:
                    bus[address//4 + i] = value
        else:
            data += read_requests(address, n).tobytes()
            want += [expected(address + 4*i) for i in range(n)]
    got = bench.play(data, 4*len(want))
    np.testing.assert_array_equal(got, np.array(want, np.uint32), err_msg=f"seed {seed}")
    for address, value in words.items():
        at = address - MEM_BASE
        assert int.from_bytes(bench.memory[at:at + 4], "little") == value, (hex(address), seed)
    assert bench.bus == bus


@both
@pytest.mark.parametrize("port_bits, wide", [(16, True), (128, False)])
def test_full_frames_and_the_end_of_memory(port_bits, wide, framed):
    bench = Bench(port_bits, wide, 7, framed)
    values = np.random.default_rng(7).integers(0, 1 << 32, 258, dtype=np.uint32)  # a full frame and a short one
    start = MEM_BASE + MEM_BYTES - 4*len(values)
    got = bench.play(bytes(write_frames(start, values)) + read_requests(start, len(values)).tobytes(), 4*len(values))
    np.testing.assert_array_equal(got, values)
    assert bytes(bench.memory[-4*len(values):]) == values.astype("<u4").tobytes()


@both
def test_length_zero_is_256_words(framed):
    bench = Bench(32, True, 8, framed)
    values = np.arange(256, dtype=np.uint32)
    frame = b"\x01\x00" + (MEM_BASE//4).to_bytes(4, "big") + values.astype(">u4").tobytes()
    got = bench.play(frame + b"\x02\x00" + (MEM_BASE//4).to_bytes(4, "big"), 1024)
    np.testing.assert_array_equal(got, values)


@both
def test_access_across_the_end_of_memory_takes_the_bus(framed):
    bench = Bench(32, True, 9, framed)
    bench.play(bytes(write_frames(MEM_BASE + MEM_BYTES - 4, np.array([1, 2], np.uint32))), 0)
    assert bench.bus == {(MEM_BASE + MEM_BYTES)//4 - 1: 1, (MEM_BASE + MEM_BYTES)//4: 2}


@both
@pytest.mark.parametrize("wide", [False, True])
def test_fixed_address_takes_the_bus(wide, framed):
    bench = Bench(32, wide, 10, framed)
    got = bench.play(bytes(write_frames(0xf000_0000, np.array([1, 2, 3], np.uint32), increment=False))
                     + read_requests(0xf000_0000, 2, increment=False).tobytes(), 8)
    assert bench.bus == {0xf000_0000//4: 3} and got.tolist() == [3, 3]


@both
@pytest.mark.parametrize("wide", [False, True])
def test_length_zero_is_256_words_on_the_bus(wide, framed):
    bench = Bench(0, wide, 13, framed)
    frame = b"\x01\x00" + (MEM_BASE//4).to_bytes(4, "big") + np.arange(256).astype(">u4").tobytes()
    got = bench.play(frame + b"\x02\x00" + (MEM_BASE//4).to_bytes(4, "big"), 1024)
    assert got.tolist() == list(range(256)) == [bench.bus[MEM_BASE//4 + i] for i in range(256)]


@both
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("cut_bytes", [1, 6, 9, 13])
def test_cut_frame_is_forgotten_without_a_memory_path(wide, cut_bytes, framed):
    bench = Bench(0, wide, cut_bytes, framed)
    cut = bytes(write_frames(MEM_BASE, np.array([11, 12, 13], np.uint32)))[:cut_bytes]

    def before():
        yield from bench.send(cut)
        for _ in range(TIMEOUT_CYCLES + 50):
            yield

    got = bench.play(bytes(write_frames(MEM_BASE + 64, np.array([5], np.uint32)))
                     + read_requests(MEM_BASE + 64, 1).tobytes(), 4, before=before)
    whole = 0 if framed else max(0, cut_bytes - 6)//4  # words that came complete are written
    assert got.tolist() == [5]
    assert bench.bus == {(MEM_BASE + 64)//4: 5, **{MEM_BASE//4 + i: 11 + i for i in range(whole)}}


@both
def test_a_slow_frame_is_not_forgotten(framed):
    """The limit is on silence, not on the frame: a byte now and then keeps it."""
    bench = Bench(0, False, 14, framed)

    def before():
        for byte in bytes(write_frames(MEM_BASE, np.array([7], np.uint32))):
            yield from bench.send(bytes([byte]))
            for _ in range(TIMEOUT_CYCLES//2):
                yield

    bench.play(read_requests(MEM_BASE, 1).tobytes(), 4, before=before)
    assert bench.bus == {MEM_BASE//4: 7}


@both
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("cut_bytes", [1, 5, 6, 7, 10, 13])
def test_cut_frame_is_forgotten(wide, cut_bytes, framed):
    bench = Bench(32, wide, cut_bytes, framed)
    cut = bytes(write_frames(MEM_BASE, np.array([11, 12, 13], np.uint32)))[:cut_bytes]

    def before():
        yield from bench.send(cut)
        for _ in range(TIMEOUT_CYCLES + 50):
            yield

    got = bench.play(bytes(write_frames(MEM_BASE + 64, np.array([5], np.uint32)))
                     + read_requests(MEM_BASE + 64, 1).tobytes(), 4, before=before)
    assert got.tolist() == [5]
    whole = 0 if framed else max(0, cut_bytes - 6)//4  # words that came complete are written
    assert np.frombuffer(bytes(bench.memory[:12]), "<u4").tolist() == [11, 12, 13][:whole] + [0]*(3 - whole)


@both
@pytest.mark.parametrize("wide", [False, True])
def test_unknown_command_is_skipped(wide, framed):
    bench = Bench(32, wide, 11, framed)
    length = b"\x07" if framed else b"\x02"  # a bridge of frames looks for a command at every byte
    got = bench.play(b"\x07" + length + bytes(4) + read_requests(0xf000_0000, 1).tobytes(), 4)
    assert got.tolist() == [0xdead_0000 + (0xf000_0000//4 & 0xffff)]


@both
@pytest.mark.parametrize("port_bits", [32, 128])
def test_wide_bridge_moves_a_word_a_cycle(port_bits, framed):
    """A bridge that takes frames looks at UARTBone's words twice; its frames' words come one a cycle, too
    (test_framed_bridge)."""
    cycles_per_word = 2 if framed else 1
    bench = Bench(port_bits, True, 12, framed)
    bench.rng.random = lambda: 0.0          # no stalls
    bench.rng.randint = lambda low, high: high
    n = 255
    cycles = [0]

    @passive
    def count():
        while True:
            cycles[0] += 1
            yield

    data = bytes(write_frames(MEM_BASE, np.arange(n, dtype=np.uint32)))

    def send():
        yield from fast(bench.dut.sink, data)
        yield from bench.until_done(0, 1000)

    bench.writes_waiting = 0
    run_simulation(bench.dut, [send(), count(), bench.write_side(), bench.read_side(), bench.take_answers()])
    assert bytes(bench.memory[:4*n]) == np.arange(n, dtype="<u4").tobytes()
    assert cycles[0] <= n*cycles_per_word + 60
