# SPDX-License-Identifier: BSD-2-Clause
"""What a board's program says of its memory, written as the BIOS writes it."""

import pytest
from litex.soc.interconnect import csr_bus
from migen import Module, run_simulation

from mixpe.boards.soc import Training
from mixpe.gateware.spec.training import FAILED, NAMES

DONE, ERROR = NAMES


class Bench(Module):
    """The registers behind a CSR bus."""

    def __init__(self):
        self.submodules.training = Training()
        self.submodules.bank = csr_bus.CSRBank(self.training.get_csrs())
        self.bus = self.bank.bus


@pytest.mark.parametrize("writes, ready", [
    ([], [0]),
    ([(DONE, 0), (ERROR, 0), (DONE, 1)], [0, 0, 0, 1]),              # trained
    ([(DONE, 0), (ERROR, 0), (ERROR, 1), (DONE, 1)], [0, 0, 0, 0, 0]),  # failed: never ready in between
    ([(DONE, 1), (DONE, 0), (ERROR, 0), (DONE, 1)], [0, 1, 0, 0, 1]),   # trained again after a reset of the CPU
    ([(DONE, 1), (ERROR, 1)], [0, 1, 0]),
])
def test_ready_follows_the_program(writes, ready):
    dut, seen, words = Bench(), [], []

    def program():
        yield
        seen.append((yield dut.training.ready))
        for name, value in writes:
            yield from dut.bus.write(NAMES.index(name), value)
            yield
            seen.append((yield dut.training.ready))
        for index in range(len(NAMES)):
            yield from dut.bus.read(index)  # the answer comes a cycle later
            words.append((yield from dut.bus.read(index)))

    run_simulation(dut, program())
    assert seen == ready
    last = dict(writes)
    assert words == [last.get(name, 0) for name in NAMES]
    assert (words == FAILED) == (last.get(ERROR, 0) == last.get(DONE, 0) == 1)
