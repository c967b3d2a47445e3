# SPDX-License-Identifier: BSD-2-Clause
"""An accelerator with a second engine has what the page "Add an engine" says; the test plays both engines."""

import pytest
from litedram.common import LiteDRAMNativePort
from migen import If, Signal, run_simulation

from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.descriptor import INDEX, POST, WORDS, Opcode
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.control.engine import Engine

SECOND   = 9
WATCHDOG = 64
LIMIT    = 2000
CONFIG   = Config(rows=1, port_bits=16, k_max=512, buffer_beats=64, scalers=1, queue_depth=4)


class Played(Engine):
    """Takes a descriptor when it comes and ends it when `end` is high."""

    def __init__(self):
        Engine.__init__(self)
        self.end     = Signal()
        self.took    = Signal(8)
        self.reading = Signal()

        # # #

        busy = Signal()
        self.comb += [
            self.pop.eq(self.valid & ~busy),
            self.source.valid.eq(busy & self.end),
            self.quiet.eq(~self.reading),
        ]
        self.sync += [
            If(self.pop, busy.eq(1), self.took.eq(self.took + 1)),
            If(self.source.valid & self.source.ready, busy.eq(0)),
        ]


class TwoEngines(Accelerator):
    def __init__(self):
        self.second = Played()
        ports = [LiteDRAMNativePort(mode, 16, 16) for mode in ("read", "read", "write")]
        Accelerator.__init__(self, CONFIG, 1 << 16, ports[:1], *ports[1:], watchdog_cycles=WATCHDOG)

    def make_further(self):
        return {SECOND: self.second}

    def make_gemm(self, *args, **options):
        return Played()


def post(dut, op, tag):
    for word in WORDS:
        yield dut.word.eq(POST if word.name == "tag" else INDEX[word.name])
        yield dut.data.eq({"op": int(op), "tag": tag}.get(word.name, 0))
        yield dut.write.eq(1)
        yield
    yield dut.write.eq(0)
    yield


def ended(dut):
    """Wait for the oldest job's end and collect it: (tag, code)."""
    for _ in range(LIMIT):
        if (yield dut.source.valid):
            found = (yield dut.source.tag), JobCode((yield dut.source.code))
            yield dut.source.ready.eq(1)
            yield
            yield dut.source.ready.eq(0)
            yield
            return found
        yield
    raise AssertionError(f"no job ended within {LIMIT} cycles")


def play(test):
    dut = TwoEngines()
    run_simulation(dut, test(dut), clocks={"sys": 10, "mixpe": 10})


def test_each_gets_its_own_jobs_and_both_are_counted():
    def test(dut):
        for tag, op in enumerate((Opcode.GEMM, SECOND, SECOND, Opcode.GEMM)):
            yield from post(dut, op, tag)
        for _ in range(20):
            yield
        assert (yield dut.gemm.took) == 1 and (yield dut.second.took) == 1
        for busy, other in ((1, 0), (1, 3), (0, 3)):
            yield dut.gemm.events["busy"].eq(busy)
            yield dut.second.events["busy"].eq(other)
            yield
            assert (yield dut.counters.events["busy"]) == busy + other
        yield dut.gemm.end.eq(1)
        yield dut.second.end.eq(1)
        for tag in range(4):
            assert (yield from ended(dut)) == (tag, JobCode.OK)

    play(test)


def test_both_are_stopped_and_awaited():
    def test(dut):
        yield from post(dut, SECOND, 7)
        yield dut.second.reading.eq(1)
        yield dut.reset.eq(1)
        yield
        yield dut.reset.eq(0)
        for _ in range(WATCHDOG//2):
            yield
        assert not (yield dut.gemm.enable) and not (yield dut.second.enable)
        assert not (yield dut.source.valid)  # it has a read on its way
        yield dut.second.reading.eq(0)
        assert (yield from ended(dut)) == (7, JobCode.ABORTED)
        for _ in range(8):
            yield
        assert (yield dut.second.enable)

    play(test)


@pytest.mark.parametrize("moves", [True, False])
def test_the_watchdog_sees_both(moves):
    """While the second engine moves nothing is wrong, however long it takes."""
    def test(dut):
        yield from post(dut, SECOND, 3)
        yield dut.second.events["beats_in"].eq(int(moves))
        for _ in range(4*WATCHDOG):
            yield
        assert (yield dut.source.valid) == (not moves)
        yield dut.second.end.eq(1)
        assert (yield from ended(dut)) == (3, JobCode.OK if moves else JobCode.WATCHDOG)

    play(test)
