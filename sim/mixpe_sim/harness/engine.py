# SPDX-License-Identifier: BSD-2-Clause
"""One engine of the decoder alone in Verilator, on the engine seam: records in, codes out."""

from functools import reduce
from operator import or_

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from migen import READ_FIRST, ClockDomain, ClockDomainsRenamer, If, Memory, Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS
from mixpe_gateware.contract.registers import COUNTERS
from mixpe_sim.harness.build import build_library
from mixpe_sim.harness.run import Harness
from mixpe_sim.harness.top import port_header
from mixpe_sim.harness.verilog import write_module

RECORD_WORDS = SLOT_WORDS
SETTLE       = 15               # cycles for which an aborted engine is quiet before it is reset
CHOICE_VALID = 1 << 31          # of the register `choice`
REGISTERS    = "choice", "early"
LOW, HIGH    = 14, 15  # words of a record that an engine does not read: here the bounds of what it may write, in beats


class EngineTop(LiteXModule):
    """An engine between a memory of one record and its ports, with the pins that `harness.cpp` drives.

    Ended records are counted: the count stands for the tag. A reset is an abort: `enable` goes low, `quiet` is awaited
    for `SETTLE` cycles, then the engine is reset.

    Parameters
    ----------
    make_engine : callable
        (config, mem_bytes, port, …) → Engine with `low_beat` and `high_beat`, maybe with `choice`.
    config : Config
    mem_bytes : int
    modes : tuple of str
        ``"read"`` or ``"write"``, of the ports in their order.
    """

    def __init__(self, make_engine, config, mem_bytes, modes):
        self.cd_sys    = ClockDomain("sys")
        self.cd_engine = ClockDomain("engine")
        address_bits = (8*mem_bytes//config.memory_bits - 1).bit_length()
        ports = [LiteDRAMNativePort(mode, address_bits, config.memory_bits, id=index)
            for index, mode in enumerate(modes)]
        plain = make_engine(config, mem_bytes, *ports)
        self.engine = engine = ClockDomainsRenamer("engine")(plain)
        self.ios = {self.cd_sys.clk, self.cd_sys.rst}

        # # #

        pin, driven = self._pin, self._driven
        under_way   = [self._add_port(f"port{index}", port, mode) for index, (port, mode) in
            enumerate(zip(ports, modes, strict=True))]

        # The record.
        memory = Memory(32, RECORD_WORDS)
        write  = memory.get_port(write_capable=True, mode=READ_FIRST)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        full   = Signal()
        bounds = {LOW: engine.low_beat, HIGH: engine.high_beat}
        self.comb += [
            write.adr.eq(driven("post_word", 4)),
            write.dat_w.eq(driven("post_data", 32)),
            write.we.eq(driven("post_write")),
            read.adr.eq(engine.index),
            engine.value.eq(read.dat_r),
            engine.valid.eq(full),
        ]
        self.sync += [
            If(engine.pop, full.eq(0)),
            If(write.we & (write.adr == RECORD_WORDS - 1), full.eq(1)),
            *[If(write.we & (write.adr == word), signal.eq(write.dat_w)) for word, signal in bounds.items()],
        ]
        pin("post_ready", ~full & ~engine.source.valid)

        # Ended records, aborts.
        ended, now, aborting = Signal(32), Signal(32), Signal()
        still, settled, early = Signal(max=SETTLE + 1), Signal(), Signal()
        self.comb += [
            engine.now.eq(now),
            engine.source.ready.eq(driven("source_ready")),
            engine.enable.eq(~aborting),
            settled.eq(aborting & engine.quiet & (still == SETTLE)),
            self.cd_engine.clk.eq(self.cd_sys.clk),
            self.cd_engine.rst.eq(self.cd_sys.rst | settled),
        ]
        self.sync += [
            now.eq(now + 1),
            If(engine.source.valid & engine.source.ready, ended.eq(ended + 1)),
            If(aborting & engine.quiet, still.eq(still + 1)).Else(still.eq(0)),
            If(settled,
                aborting.eq(0),
                full.eq(0),
                If(reduce(or_, under_way), early.eq(1)),
            ),
            If(driven("reset"), aborting.eq(1)),
        ]

        # What it chose of the last record.
        choice = Signal(32)
        self.sync += If(write.we, choice.eq(0))
        if hasattr(engine, "choice"):
            self.sync += If(engine.choice.valid, choice.eq(CHOICE_VALID | engine.choice.token))
        pin("choice", choice)
        pin("early",  early, 32)
        pin("source_valid",  engine.source.valid)
        pin("source_tag",    ended)
        pin("source_code",   engine.source.code)
        pin("source_cycles", now - engine.source.start, 32)
        pin("busy",          engine.events["busy"] != 0)
        for name in COUNTERS:
            pin(f"event_{name}", engine.events.get(name, 0), 2)

    def _pin(self, name, signal=1, bits=None):
        """An output pin that shows a signal."""
        out = Signal(bits or len(signal), name=name)
        self.ios.add(out)
        self.comb += out.eq(signal)

    def _driven(self, name, bits=1):
        """An input pin."""
        found = Signal(bits, name=name)
        self.ios.add(found)
        return found

    def _add_port(self, name, port, mode):
        """A port's pins; whether accesses were taken and not answered."""
        pin, driven = self._pin, self._driven
        pin(f"{name}_cmd_valid", port.cmd.valid)
        pin(f"{name}_cmd_we",    port.cmd.we)
        pin(f"{name}_cmd_addr",  port.cmd.addr)
        self.comb += port.cmd.ready.eq(driven(f"{name}_cmd_ready"))
        if mode == "read":
            answered = port.rdata.valid
            self.comb += [
                port.rdata.valid.eq(driven(f"{name}_rdata_valid")),
                port.rdata.data.eq(driven(f"{name}_rdata_data", len(port.rdata.data))),
            ]
        else:
            answered = port.wdata.ready
            self.comb += port.wdata.ready.eq(driven(f"{name}_wdata_ready"))
            pin(f"{name}_wdata_valid", port.wdata.valid)
            pin(f"{name}_wdata_data",  port.wdata.data)
            pin(f"{name}_wdata_we",    port.wdata.we)
        count = Signal(16)
        self.sync += count.eq(count + (port.cmd.valid & port.cmd.ready) - answered)
        return (count != 0) | port.cmd.valid


class EngineHarness(Harness):
    """An engine of the decoder and its memory.

    Parameters
    ----------
    make_engine : callable
        See `EngineTop`. It closes over nothing: builds are told apart by what else is given.
    module : str
        Dotted name of the engine's module.
    config : Config
    mem_bytes : int
    modes : tuple of str
        See `EngineTop`.
    """

    def __init__(self, make_engine, module, config, mem_bytes, *, modes=("read", "write")):
        def write_verilog(path):
            top = EngineTop(make_engine, config, mem_bytes, modes)
            write_module(top, top.ios, path)

        self._open(build_library(f"{module.rpartition('.')[2]}-{config.name}",
            [config.to_dict(), mem_bytes, modes], [module, "mixpe_sim.harness.engine"], write_verilog,
            port_header(config, modes, job_words=RECORD_WORDS, registers=REGISTERS)), config, mem_bytes)
        self.setup(seed=0, stall=0.0)

    def post(self, words, low_beat=0, high_beat=None):
        """Offer a record's words 0 … 13, with bounds of what may be written; none is the whole memory."""
        high_beat = len(self.memory)//self.config.beat_bytes if high_beat is None else high_beat
        self._post([*words[:LOW], *[0]*(LOW - len(words)), low_beat, high_beat])

    def registers(self):
        """``choice``: of the last record, with `CHOICE_VALID`, or 0; ``early``: an abort did not await all accesses."""
        return self._registers(REGISTERS)
