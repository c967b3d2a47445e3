# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator's CSR bank, made from the table in `contract.registers`."""

from litex.gen import LiteXModule
from litex.soc.interconnect.csr import CSR, CSRStatus, CSRStorage
from migen import Cat, If, Signal

from mixpe_gateware.contract.registers import (
    CONTROL_COUNTERS,
    CONTROL_LATCH,
    CONTROL_RESET,
    JOB,
    REGISTERS,
    STATUS_DONE_LSB,
    STATUS_LEVEL_LSB,
    identity_values,
)
from mixpe_gateware.contract.widths import log2

WIDTHS = {"control": max(CONTROL_RESET, CONTROL_COUNTERS, CONTROL_LATCH).bit_length()}  # of registers with few bits


class AcceleratorRegisters(LiteXModule):
    """Registers of an accelerator and its checksum unit.

    Parameters
    ----------
    accelerator : Accelerator
    checksum : Checksum
    clock_hz, mem_base, mem_bytes, inbox_base : int
    ready : Signal() or 1
        High when the memory is initialised.
    """

    def __init__(self, accelerator, checksum, *, clock_hz, mem_base, mem_bytes, inbox_base=0, ready=1):
        config = accelerator.config
        identity = identity_values(config, clock_hz=clock_hz, mem_base=mem_base, mem_bytes=mem_bytes,
            inbox_base=inbox_base)
        csrs = {}
        for register in REGISTERS:
            if register.access == "wo":
                csr = CSR(32, name=register.name)
            elif register.access == "rw":
                csr = CSRStorage(WIDTHS.get(register.name, 32), name=register.name, description=register.text)
            else:
                csr = CSRStatus(32, name=register.name, description=register.text,
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
            csrs["status"].status.eq(Cat(accelerator.busy, overrun, checksum.busy, ready, counters.latching)),
            csrs["status"].status[STATUS_LEVEL_LSB:STATUS_LEVEL_LSB + 8].eq(accelerator.posted),
            csrs["status"].status[STATUS_DONE_LSB:STATUS_DONE_LSB + 8].eq(accelerator.ended),
        ]

        # Jobs: the words go to the queue's memory, the last one posts. ------------------------------------------------
        for index, register in enumerate(JOB):
            csr = csrs[register.name]
            self.comb += If(csr.re,
                accelerator.write.eq(1),
                accelerator.word.eq(index),
                accelerator.data.eq(csr.r),
            )
        self.comb += csrs["job_check"].status.eq(accelerator.check)
        self.sync += [
            If(accelerator.dropped, overrun.eq(1)),
            If(strobe[CONTROL_RESET], overrun.eq(0)),
        ]

        # Ended jobs: collecting names the tag, so that a repeated write does no harm. ---------------------------------
        done    = accelerator.source
        collect = csrs["done_collect"]
        self.comb += [
            csrs["done_tag"].status.eq(done.tag),
            csrs["done_code"].status.eq(done.code),
            csrs["done_cycles"].status.eq(done.cycles),
            done.ready.eq(collect.re & (collect.r == done.tag)),
        ]

        # Checksum. ----------------------------------------------------------------------------------------------------
        word_log2 = log2(config.memory_bits//8)
        self.sync += If(csrs["checksum_addr"].re, checksum.address.eq(csrs["checksum_addr"].r >> word_log2))
        self.comb += [
            checksum.start.eq(csrs["checksum_bytes"].re),
            checksum.length.eq(csrs["checksum_bytes"].r >> word_log2),
            csrs["checksum_value"].status.eq(checksum.value),
        ]
