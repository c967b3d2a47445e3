# SPDX-License-Identifier: BSD-2-Clause
"""What every link promises, whatever it is made of: the same tests on UARTBone, on frames and on Etherbone.

    uartbone, frames, etherbone   the host's code against far ends in Python, over the reference device
    etherbone-sim                 against LiteEth in the simulated SoC
    device                        against the device under test: the simulated SoC, or the board of --device
"""

import re
import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

import mixpe
from mixpe.cli.main import main
from mixpe.devices.driver import driver_of
from mixpe.errors import LinkError, LinkTimeout, RangeError
from mixpe.link import open_link
from mixpe.reference.device import MEM_BASE
from mixpe.selftest import run_selftest
from mixpe_gateware.contract.registers import MAGIC, OFFSETS

SEED = 20241


@dataclass
class End:
    """An open link, where its memory begins and how large it is, and where the accelerator's registers are."""

    link: object
    base: int
    size: int
    bank: int


def end_of(device):
    driver = driver_of(device)
    return End(driver.link, driver.mem_base, driver.mem_bytes, driver.bank.base)


def lent(device):
    """Its end, for a test that writes what is the driver's: the register `scratch`."""
    yield end_of(device)
    driver_of(device).bank.mark()


@pytest.fixture(params=["uartbone", "frames", "etherbone", "etherbone-sim",
    pytest.param("device", marks=pytest.mark.device)])
def end(request):
    if request.param == "device":
        dut = request.getfixturevalue("dut")
        if dut.url.startswith("reference"):
            pytest.skip("the reference device is not behind a link")
        yield from lent(dut)
    elif request.param == "etherbone-sim":
        yield from lent(request.getfixturevalue("etherbone_sim"))
    else:
        far = request.getfixturevalue(f"{request.param}_far")
        with open_link(far.url) as link:
            yield End(link, MEM_BASE, far.device.memory.size, far.device.bank)


# Memory.

@pytest.mark.parametrize("n", [1, 2, 254, 255, 256, 509, 510, 511, 1021])
def test_words_come_back(end, n):
    words = np.random.default_rng(SEED + n).integers(0, 1 << 32, n, dtype=np.uint32)
    end.link.write_words(end.base, words)
    got = end.link.read_words(end.base, n)
    assert got.dtype == np.uint32
    np.testing.assert_array_equal(got, words)


@pytest.mark.parametrize("offset", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 8, 9, 1019, 1020, 1021, 4093])
def test_bytes_keep_order_and_neighbours(end, offset, size):
    data = np.random.default_rng(SEED).integers(0, 256, size, dtype=np.uint8)
    end.link.write_bytes(end.base + 0x100, bytes(b"\xaa"*(size + 20)))
    end.link.write_bytes(end.base + 0x108 + offset, data)
    want = np.full(size + 20, 0xaa, np.uint8)
    want[8 + offset:8 + offset + size] = data
    np.testing.assert_array_equal(end.link.read_bytes(end.base + 0x100, size + 20), want)
    np.testing.assert_array_equal(end.link.read_bytes(end.base + 0x108 + offset, size), data)


def test_memory_is_little_endian(end):
    end.link.write_bytes(end.base, b"\x01\x02\x03\x04")
    assert end.link.read_word(end.base) == 0x04030201
    end.link.write_word(end.base, 0xA0B0C0D0)
    assert end.link.read_bytes(end.base, 4).tolist() == [0xD0, 0xC0, 0xB0, 0xA0]


def test_both_ends_of_the_memory(end):
    for addr in (end.base, end.base + end.size - 2048):
        data = np.random.default_rng(addr).integers(0, 256, 2048, dtype=np.uint8)
        end.link.write_bytes(addr, data)
        np.testing.assert_array_equal(end.link.read_bytes(addr, 2048), data)


def test_nothing_is_nothing(end):
    sent = end.link.sent_bytes
    assert end.link.read_words(end.base, 0).size == 0
    assert end.link.read_bytes(end.base + 3, 0).size == 0
    end.link.write_words(end.base, np.empty(0, np.uint32))
    end.link.write_bytes(end.base + 4, b"")
    assert end.link.sent_bytes == sent


def test_what_was_written_last_is_read(end):
    """Many small accesses, each of which must come after the one before it."""
    rng, known = np.random.default_rng(SEED), np.zeros(64, np.uint32)
    end.link.write_words(end.base, known)
    for _ in range(60):
        start, n = int(rng.integers(0, 60)), int(rng.integers(1, 5))
        n = min(n, 64 - start)
        known[start:start + n] = rng.integers(0, 1 << 32, n, dtype=np.uint32)
        end.link.write_words(end.base + 4*start, known[start:start + n])
        probe = int(rng.integers(0, 64))
        assert end.link.read_word(end.base + 4*probe) == known[probe]
    np.testing.assert_array_equal(end.link.read_words(end.base, 64), known)


def test_progress_ends_at_the_size(end):
    seen = []
    end.link.write_bytes(end.base, bytes(10_000), progress=seen.append)
    assert seen[-1] == 10_000 and seen == sorted(seen)
    seen.clear()
    end.link.read_bytes(end.base, 10_000, progress=seen.append)
    assert seen[-1] == 10_000 and seen == sorted(seen)


def test_counters_are_those_of_the_payload(end):
    before = vars(end.link.counters).copy()
    end.link.write_bytes(end.base, bytes(6000))
    end.link.read_bytes(end.base, 3000)
    after = vars(end.link.counters)
    grown = {name: after[name] - before[name] for name in after}
    assert grown["written_bytes"] == 6000 and grown["read_bytes"] >= 3000
    assert grown["sent_bytes"] > 6000 and grown["received_bytes"] >= 3000


# Registers.

def test_registers(end):
    assert end.link.read_word(end.bank) == MAGIC
    scratch = end.bank + OFFSETS["scratch"]
    for value in (0, 0xFFFFFFFF, *(1 << bit for bit in range(32))):
        end.link.write_word(scratch, value)
        assert end.link.read_word(scratch) == value
    end.link.write_word(scratch, 0)


def test_the_same_address_again_and_again(end):
    scratch = end.bank + OFFSETS["scratch"]
    end.link.write_words(scratch, [5, 6, 7], increment=False)
    assert end.link.read_words(scratch, 300, increment=False).tolist() == [7]*300
    end.link.write_word(scratch, 0)


# From several threads, and bad use.

def test_threads_do_not_mix_up_their_answers(end):
    failures = []

    def work(number):
        try:
            for turn in range(6):
                data = np.full(700, 16*number + turn, np.uint8)
                end.link.write_bytes(end.base + 4096*number, data)
                np.testing.assert_array_equal(end.link.read_bytes(end.base + 4096*number, 700), data)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("call, message", [
    (lambda link: link.read_words(2, 1), "addr must be a multiple of 4"),
    (lambda link: link.read_words(-4, 1), "addr must be a multiple of 4 below"),
    (lambda link: link.read_words(1 << 32, 1), "addr must be a multiple of 4 below"),
    (lambda link: link.read_words(0xffff_fffc, 2), "not in the 32-bit address space"),
    (lambda link: link.read_words(0, -1), "not in the 32-bit address space"),
    (lambda link: link.write_words(0, [1 << 32]), "words must be 0"),
    (lambda link: link.write_words(0, [-1]), "words must be 0"),
    (lambda link: link.write_words(0, [0.5]), "words must be integers, not float64"),
])
def test_bad_arguments_are_named_and_nothing_is_sent(end, call, message):
    sent = end.link.sent_bytes
    with pytest.raises(RangeError, match=message):
        call(end.link)
    assert end.link.sent_bytes == sent


# The whole of a link's life: only where the test may open and close it.

def test_closed_link_is_an_error(far):
    link = open_link(far.url)
    link.close()
    link.close()
    for use in (lambda: link.read_word(0), lambda: link.write_word(0, 1), lambda: link.read_bytes(0, 4),
                lambda: link.write_bytes(0, b"abcd")):
        with pytest.raises(LinkError, match="the link is closed"):
            use()


def test_silence_is_a_timeout_within_its_limit_and_never_zeros(far):
    base = MEM_BASE
    with open_link(f"{far.url}?timeout_s=0.2") as link:
        link.write_word(base, 77)
        assert link.read_word(base) == 77
        far.muted = True
        for use in (lambda: link.read_word(base), lambda: link.read_bytes(base, 4000),
                    lambda: link.read_words(base, 3, retry=False)):
            start = time.monotonic()
            with pytest.raises(LinkTimeout):
                use()
            assert time.monotonic() - start < 3
        assert link.counters.timeouts
        far.muted = False
        assert link.read_word(base) == 77  # usable afterwards


def test_a_device_opens_and_passes_its_self_test(far):
    with mixpe.open(far.url) as device:
        checks = list(run_selftest(device))
        assert all(check.ok for check in checks), [str(check) for check in checks]
        assert driver_of(device).link.counters.retries == 0
        assert far.device.counts["jobs"] == device.counters()["jobs"]


@pytest.mark.parametrize("command", ["info", "selftest"])
@pytest.mark.parametrize("name, value, text", [
    ("version", 99, "speaks contract version 99 .*build its gateware with this mixpe, or install the mixpe"),
    ("magic", 1, "is no mixpe device"),
])
def test_commands_name_a_device_of_another_kind(far, command, name, value, text, capsys):
    far.device.values[name] = value
    assert main([command, "--device", far.url]) == 2
    err = capsys.readouterr().err
    assert re.search(text, err) and err.count("\n") == 1 and err.startswith("mixpe: error: ")


def test_commands_name_a_device_that_is_silent(far, capsys):
    far.muted = True
    assert main(["selftest", "--device", f"{far.url}?timeout_s=0.1"]) == 2
    err = capsys.readouterr().err
    assert re.search("nothing that speaks (UARTBone|Etherbone) answers at .*is the bitstream loaded", err)
    assert err.count("\n") == 1
