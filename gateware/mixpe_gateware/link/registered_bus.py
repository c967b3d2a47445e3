# SPDX-License-Identifier: BSD-2-Clause
"""A bus behind registers, for a master at the other end of the FPGA."""

from litex.gen import LiteXModule
from litex.soc.interconnect import wishbone


class RegisteredBus(LiteXModule):
    """A Wishbone master whose answers come from registers, and whose requests go through them if that is asked.

    One transfer at a time. An answer takes a cycle more, a request another one.

    Parameters
    ----------
    master : wishbone.Interface
    requests : bool
        For a master whose addresses come late in the cycle, as out of a block RAM.

    Attributes
    ----------
    bus : wishbone.Interface, out
    """

    def __init__(self, master, *, requests=False):
        self.bus = bus = wishbone.Interface.like(master)

        # # #

        asks     = master.cyc & master.stb & ~master.ack & ~master.err
        answered = bus.cyc & bus.stb & (bus.ack | bus.err)
        if requests:
            payload = ("adr", "dat_w", "sel", "we", "cti", "bte")
            self.sync += [getattr(bus, name).eq(getattr(master, name)) for name in payload]
            self.sync += [bus.cyc.eq(asks & ~answered), bus.stb.eq(asks & ~answered)]
        else:
            self.comb += [
                master.connect(bus, omit={"cyc", "stb", "ack", "err", "dat_r"}),
                bus.cyc.eq(asks),
                bus.stb.eq(asks),
            ]
        self.sync += [
            master.ack.eq(bus.cyc & bus.stb & bus.ack),
            master.err.eq(bus.cyc & bus.stb & bus.err),
            master.dat_r.eq(bus.dat_r),
        ]
