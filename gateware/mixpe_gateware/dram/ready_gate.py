# SPDX-License-Identifier: BSD-2-Clause
"""A bus slave that answers at once, with all ones, while what is behind it cannot."""

from litex.gen import LiteXModule
from litex.soc.interconnect import wishbone
from migen import If, Replicate, Signal


class ReadyGate(LiteXModule):
    """Nothing passes while it is not ready. LiteDRAM's bridge would keep a write that the bus gives up, for good.

    Parameters
    ----------
    slave : wishbone.Interface
    ready : Signal()
        Changes between transfers.

    Attributes
    ----------
    bus : wishbone.Interface, in
        Combinational; while not ready an access is acknowledged in its second cycle, as LiteX's interconnect wants it,
        and reads as where nothing answers.
    """

    def __init__(self, slave, ready):
        self.bus = bus = wishbone.Interface.like(slave)

        # # #

        asked = Signal()
        self.sync += asked.eq(bus.cyc & bus.stb & ~asked)
        self.comb += [
            bus.connect(slave, omit={"cyc", "stb", "ack", "err", "dat_r"}),
            slave.cyc.eq(bus.cyc & ready),
            slave.stb.eq(bus.stb & ready),
            If(ready,
                bus.ack.eq(slave.ack),
                bus.err.eq(slave.err),
                bus.dat_r.eq(slave.dat_r),
            ).Else(
                bus.ack.eq(bus.cyc & bus.stb & asked),
                bus.dat_r.eq(Replicate(1, len(bus.dat_r))),
            ),
        ]
