# SPDX-License-Identifier: BSD-2-Clause
"""A UART's PHY behind registers, for a bridge at the other end of the FPGA."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream


class BufferedPHY(LiteXModule):
    """A UART's PHY with registers at its streams: the UART is at its pins, and what speaks to it need not be.

    Parameters
    ----------
    phy : module
        With `source` (bytes from the host) and `sink` (bytes to it), such as LiteX's RS232PHY.

    Attributes
    ----------
    source, sink : stream.Endpoint([("data", 8)]), out and in
    """

    def __init__(self, phy):
        self.rx = rx = stream.Buffer([("data", 8)])
        self.tx = tx = stream.Buffer([("data", 8)], pipe_ready=True)
        self.sink, self.source = tx.sink, rx.source

        # # #

        self.comb += [
            phy.source.connect(rx.sink),
            tx.source.connect(phy.sink),
        ]
