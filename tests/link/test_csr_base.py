# SPDX-License-Identifier: BSD-2-Clause
"""A SoC whose CSRs are not where LiteX usually puts them: found where that is cheap, else said."""

import time

import numpy as np
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.devices.finding import CPU_BASES, SEARCH_S, find_registers, likely_bases
from mixpe.errors import LinkTimeout, NotMixpeError
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, MAGIC

OFFSET = CSR_BANK*CSR_PAGE_BYTES


class Bus:
    """A link on which the magic word is at one address, or nowhere; `slow_s` for each word that is read."""

    def __init__(self, base=None, *, slow_s=0.0, hangs=()):
        self.base, self.slow_s, self.hangs = base, slow_s, hangs
        self.asked = []

    def read_word(self, addr, *, retry=True):
        self.asked.append(addr - OFFSET)
        time.sleep(self.slow_s)
        if addr - OFFSET in self.hangs:
            raise LinkTimeout("nothing")
        return MAGIC if self.base is not None and addr == self.base + OFFSET else 0xFFFFFFFF


@pytest.mark.parametrize("base", [*CSR_BASES, *CPU_BASES, 0x4000_0000, 0x9000_0000, 0x3C00_0000, 0x0100_0000])
def test_found_at_usual_and_at_round_bases(base):
    assert find_registers(Bus(base), "x") == base + OFFSET


@pytest.mark.parametrize("base", [0xA000_0000, 0x2000_0000])
def test_a_device_there_is_opened(uartbone_at, base):
    """Through the whole driver, over the link's bytes."""
    far = uartbone_at(base)
    with mixpe.open(far.url) as device:
        assert driver_of(device).bank.base == base + OFFSET
        matrix = mixpe.quantize(np.ones((8, 64), np.float32), group_size=64)
        np.testing.assert_array_equal(device.load(matrix).partials(np.ones((1, 64), np.int8)),
            matrix.q.astype(np.int32).sum(axis=1).reshape(1, 8, 1))


def test_csr_base_of_the_url(uartbone_at):
    far = uartbone_at(0x1234_0000)
    with mixpe.open(f"{far.url}?csr_base=0x12340000") as device:
        assert driver_of(device).bank.base == 0x1234_0000 + OFFSET
    assert {address for _, _, address in far.frames if address*4 < 0x4000_0000} >= {(0x1234_0000 + OFFSET)//4}
    assert not [1 for _, _, address in far.frames if 4*address in [base + OFFSET for base in CSR_BASES]]


def test_csr_base_of_the_call(uartbone_at):
    with mixpe.open(uartbone_at(0x1234_0000).url, csr_base=0x1234_0000) as device:
        assert driver_of(device).bank.base == 0x1234_0000 + OFFSET


def test_elsewhere_is_said_in_time(uartbone_at):
    start = time.monotonic()
    with pytest.raises(NotMixpeError, match=r"add \?csr_base=0x… to the URL.*csr\.csv.*memory_region,csr") as caught:
        mixpe.open(uartbone_at(0x1234_0000).url)
    assert time.monotonic() - start < 5 and "baud" not in str(caught.value)
    with pytest.raises(NotMixpeError, match=r"no mixpe device at csr_base=0x12350000"):
        mixpe.open(uartbone_at(0x1234_0000).url, csr_base=0x1235_0000)


def test_a_slow_bus_ends_the_search():
    """Where each place that is not there costs a bus its time limit."""
    bus, start = Bus(slow_s=0.1), time.monotonic()
    with pytest.raises(NotMixpeError, match="at an unusual place"):
        find_registers(bus, "x?timeout_s=1")
    assert time.monotonic() - start < SEARCH_S + 0.5 and len(bus.asked) < 30


def test_a_bus_that_hangs_ends_the_search():
    bus = Bus(0x9000_0000, hangs=(CPU_BASES[1],))
    with pytest.raises(NotMixpeError, match="&csr_base=0x…"):
        find_registers(bus, "x?timeout_s=1")
    assert bus.asked[-1] == CPU_BASES[1]


def test_nobody_is_no_matter_of_the_base():
    with pytest.raises(LinkTimeout):
        find_registers(Bus(hangs=CSR_BASES), "x")


def test_the_order_is_of_roundness():
    order = likely_bases()
    assert not set(order) & set(CSR_BASES) and len(set(order)) == len(order) > 200
    assert order.index(0x9000_0000) < order.index(0x9800_0000) < order.index(0x9100_0000)
