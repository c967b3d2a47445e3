# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator's CSR bank, made from the table in `spec.registers`."""

from litex.gen import LiteXModule
from litex.soc.interconnect.csr import CSRStatus, CSRStorage
from migen import Cat, If, Signal

from mixpe.gateware.jobs import descriptor_layout, log2
from mixpe.gateware.spec.registers import (
    CONTROL_COUNTERS,
    CONTROL_LATCH,
    CONTROL_RESET,
    COUNTERS,
    REGISTERS,
    STATUS_DONE_LSB,
    STATUS_LEVEL_LSB,
    identity_values,
)


class AcceleratorRegisters(LiteXModule):
    """Registers of an accelerator and its checksum unit.

    Parameters
    ----------
    accelerator : Accelerator
    checksum : Checksum
    clock_hz, mem_base, mem_bytes : int
    ready : Signal() or 1
        High when the memory is initialised.
    """

    def __init__(self, accelerator, checksum, *, clock_hz, mem_base, mem_bytes, ready=1):
        config = accelerator.config
        identity = identity_values(config, clock_hz=clock_hz, mem_base=mem_base, mem_bytes=mem_bytes)
        csrs = {}
        for register in REGISTERS:
            kind = CSRStorage if register.access == "rw" else CSRStatus
            csr  = kind(32, name=register.name, description=register.text,
                **({"reset": identity[register.name]} if register.name in identity else {}))
            csrs[register.name] = csr
            setattr(self, "_" + register.name, csr)

        # # #

        # Control and status. ------------------------------------------------------------------------------------------
        control  = csrs["control"]
        counters = accelerator.counters
        overrun  = Signal()
        strobe   = {bit: Signal() for bit in (CONTROL_RESET, CONTROL_COUNTERS, CONTROL_LATCH)}
        self.comb += [signal.eq(control.re & control.storage[log2(bit)]) for bit, signal in strobe.items()]
        self.comb += [
            accelerator.reset.eq(strobe[CONTROL_RESET]),
            counters.clear.eq(strobe[CONTROL_COUNTERS]),
            counters.latch.eq(strobe[CONTROL_LATCH]),
            csrs["status"].status.eq(Cat(accelerator.busy, overrun, checksum.busy, ready)),
            csrs["status"].status[STATUS_LEVEL_LSB:STATUS_LEVEL_LSB + 8].eq(accelerator.posted),
            csrs["status"].status[STATUS_DONE_LSB:STATUS_DONE_LSB + 8].eq(accelerator.ended),
        ]

        # Jobs: the words are registers, the last one posts. -----------------------------------------------------------
        dropped = Signal()
        for name, _ in descriptor_layout():
            self.comb += getattr(accelerator.sink, name).eq(csrs[f"job_{name}"].storage)
        self.comb += [
            accelerator.sink.valid.eq(csrs["job_tag"].re),
            dropped.eq(csrs["job_tag"].re & ~accelerator.sink.ready),
        ]
        self.sync += [
            If(dropped, overrun.eq(1)),
            If(strobe[CONTROL_RESET], overrun.eq(0)),
        ]

        # Ended jobs: collecting names the tag, so that a repeated write does no harm. ---------------------------------
        done    = accelerator.source
        collect = csrs["done_collect"]
        self.comb += [
            csrs["done_tag"].status.eq(done.tag),
            csrs["done_code"].status.eq(done.code),
            csrs["done_cycles"].status.eq(done.cycles),
            done.ready.eq(collect.re & (collect.storage == done.tag)),
        ]

        # Counters and checksum. ---------------------------------------------------------------------------------------
        for name in COUNTERS:
            value = counters.values[name]
            self.comb += [
                csrs[f"count_{name}_low"].status.eq(value[:32]),
                csrs[f"count_{name}_high"].status.eq(value[32:]),
            ]
        self.comb += counters.dropped.eq(dropped)
        beat_log2 = log2(config.beat_bytes)
        self.comb += [
            checksum.start.eq(csrs["checksum_bytes"].re),
            checksum.address.eq(csrs["checksum_addr"].storage >> beat_log2),
            checksum.length.eq(csrs["checksum_bytes"].storage >> beat_log2),
            csrs["checksum_value"].status.eq(checksum.value),
        ]
