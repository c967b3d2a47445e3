# SPDX-License-Identifier: BSD-2-Clause
"""Accesses to a DRAM wait until it is ready."""

from litedram.common import LiteDRAMInterface
from litex.soc.interconnect import stream


def hold_commands(soc, hold):
    """Keep commands waiting between crossbar and controller: those issued while another drives the DFI are lost.

    They wait in registers, which also part the crossbar's arbitration from the controller's, the longest paths of a SoC
    at 80 MHz on ECP5.

    Parameters
    ----------
    soc : SoC
        With `soc.sdram`, a LiteDRAMCore, before its finalisation.
    hold : Signal() or expression
    """
    inner = soc.sdram.crossbar.controller
    outer = LiteDRAMInterface(soc.sdram.controller.interface.address_align, soc.sdram.controller.settings)
    for number in range(inner.nbanks):
        to, of = getattr(inner, f"bank{number}"), getattr(outer, f"bank{number}")
        buffer = stream.Buffer([("we", 1), ("addr", len(of.addr))], pipe_ready=True)
        soc.add_module(name=f"dram_commands_{number}", module=buffer)
        soc.comb += [
            buffer.sink.valid.eq(of.valid),
            of.ready.eq(buffer.sink.ready),
            buffer.sink.we.eq(of.we),
            buffer.sink.addr.eq(of.addr),
            to.valid.eq(buffer.source.valid & ~hold),
            buffer.source.ready.eq(to.ready & ~hold),
            to.we.eq(buffer.source.we),
            to.addr.eq(buffer.source.addr),
            of.lock.eq(to.lock | buffer.source.valid),
            of.wdata_ready.eq(to.wdata_ready),
            of.rdata_valid.eq(to.rdata_valid),
        ]
    soc.comb += [inner.wdata.eq(outer.wdata), inner.wdata_we.eq(outer.wdata_we), outer.rdata.eq(inner.rdata)]
    soc.sdram.crossbar.controller = outer  # it connects its ports when it is finalised
