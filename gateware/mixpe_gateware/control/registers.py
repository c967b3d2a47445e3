# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator's CSR bank, made from the table in `contract.registers`."""

from litex.gen import LiteXModule
from litex.soc.interconnect.csr import CSR, CSRAccess, CSRField, CSRFieldAggregate, CSRStatus, CSRStorage
from migen import If, Signal

from mixpe_gateware.contract.identity import identity_values
from mixpe_gateware.contract.registers import CONTROL, JOB, RUN, registers_of
from mixpe_gateware.contract.widths import log2


def csr_fields(register, value=0, parts=()):
    """LiteX's fields of a register of the table, each with its part of a reset value: list of CSRField.

    Those of optional parts that a build has not are left out.
    """
    return [CSRField(field.name, field.width, field.lsb, reset=field.of(value), description=field.text,
        values=[(str(code), text) for code, text in field.values] or None) for field in register.fields_of(parts)]


class WriteOnly(CSR):
    """A CSR that reads as zero, with the text and the fields of its register; LiteX has none.

    Parameters
    ----------
    register : Register
        Of the table.
    parts : tuple of str
        Optional parts of the contract that are built.
    """

    def __init__(self, register, parts=()):
        CSR.__init__(self, 32, name=register.name)
        self.description = register.text
        if register.fields:
            self.fields = CSRFieldAggregate(csr_fields(register, parts=parts), CSRAccess.WriteOnly)


def make_csr(register, value=0, parts=()):
    """The CSR of a register of the table, and its `access` for `control.csr_map`; `value` is what it reads at reset."""
    if register.access == "wo":
        csr = WriteOnly(register, parts)
    else:
        kind = CSRStorage if register.access == "rw" else CSRStatus
        # A register's fields give its size and reset value where it has any.
        csr = kind(32, value, fields=csr_fields(register, value, parts), name=register.name, description=register.text)
    csr.access = register.access
    return csr


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
        csrs = {register.name: make_csr(register, identity.get(register.name, 0), config.parts)
            for register in registers_of(config.parts)}
        for name, csr in csrs.items():
            setattr(self, "_" + name, csr)

        # # #

        # Control and status. ------------------------------------------------------------------------------------------
        control  = csrs["control"]
        status   = csrs["status"].fields
        counters = accelerator.counters
        overrun  = Signal()
        strobe   = {field.name: control.re & control.r[field.lsb] for field in CONTROL.fields}
        self.comb += [
            accelerator.reset.eq(strobe["reset"]),
            counters.clear.eq(strobe["counters"]),
            counters.latch.eq(strobe["latch"]),
            status.busy.eq(accelerator.busy),
            status.overrun.eq(overrun),
            status.checksum.eq(checksum.busy),
            status.ready.eq(ready),
            status.latching.eq(counters.latching),
            status.posted.eq(accelerator.posted),
            status.ended.eq(accelerator.ended),
        ]
        self.sync += [
            If(accelerator.dropped, overrun.eq(1)),
            If(strobe["reset"], overrun.eq(0)),
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

        # Ended jobs: collecting names the tag, so that a repeated write does no harm. ---------------------------------
        done    = accelerator.source
        collect = csrs["done_collect"]
        self.comb += [
            csrs["done_tag"].status.eq(done.tag),
            csrs["done_code"].fields.code.eq(done.code),
            csrs["done_cycles"].status.eq(done.cycles),
            done.ready.eq(collect.re & (collect.r == done.tag)),
        ]

        # What the last run of a program did. --------------------------------------------------------------------------
        if config.decoder:
            self.comb += [csrs[register.name].status.eq(accelerator.run[register.name]) for register in RUN]

        # Checksum. ----------------------------------------------------------------------------------------------------
        word_log2 = log2(config.memory_bits//8)
        self.sync += If(csrs["checksum_addr"].re, checksum.address.eq(csrs["checksum_addr"].r >> word_log2))
        self.comb += [
            checksum.start.eq(csrs["checksum_bytes"].re),
            checksum.length.eq(csrs["checksum_bytes"].r >> word_log2),
            csrs["checksum_value"].status.eq(checksum.value),
        ]
