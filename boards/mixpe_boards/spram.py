# SPDX-License-Identifier: BSD-2-Clause
"""The 128 KiB of single-port memory of an iCE40 UP5K, shared by ports that behave like LiteDRAM's."""

from functools import reduce
from operator import or_

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from migen import Case, Cat, ClockSignal, If, Instance, Mux, Signal
from migen.genlib.roundrobin import SP_CE, RoundRobin

BLOCK_BITS, BLOCK_ADDRESS_BITS, BLOCKS = 16, 14, 4
SIZE_BYTES = BLOCKS*(1 << BLOCK_ADDRESS_BITS)*BLOCK_BITS//8


class SpramPool(LiteXModule):
    """SB_SPRAM256KA blocks behind any number of native ports, one access a cycle.

    Stands where a SoC has LiteDRAM's crossbar: `get_port` until the design is finalised. Commands are taken in turn; a
    write holds the memory until its data is there, so later commands of any port see it. A read answers in the next
    cycle.

    Parameters
    ----------
    data_width : int
        Width of the ports: 16, 32 or 64.
    """

    def __init__(self, data_width=16):
        self.data_width    = data_width
        self.address_width = (SIZE_BYTES*8//data_width - 1).bit_length()
        self.ports         = []

    def get_port(self, mode="both"):
        """Make a port, as `LiteDRAMCrossbar.get_port` does."""
        port = LiteDRAMNativePort(mode, self.address_width, self.data_width, id=len(self.ports))
        self.ports.append(port)
        return port

    def do_finalize(self):
        address  = Signal(self.address_width)
        data_in  = Signal(self.data_width)
        mask     = Signal(self.data_width//8)
        enable   = Signal()
        data_out = Signal(self.data_width)
        self._add_blocks(address, data_in, mask, enable, data_out)

        # One command a cycle. -----------------------------------------------------------------------------------------
        self.robin = robin = RoundRobin(len(self.ports), SP_CE)
        owner    = Signal(max=max(2, len(self.ports)))
        pending  = Signal()                     # a write waits for its data
        target   = Signal(self.address_width)   # its address
        take     = Signal()
        reading  = Signal(len(self.ports))
        cases = {}
        for index, port in enumerate(self.ports):
            self.comb += [
                robin.request[index].eq(port.cmd.valid),
                port.rdata.valid.eq(reading[index]),
                port.rdata.data.eq(data_out),
            ]
            cases[index] = [
                take.eq(port.cmd.valid & ~pending),
                port.cmd.ready.eq(~pending),
                If(~pending, address.eq(port.cmd.addr)),
            ]
        # A turn ends when nobody uses it or its command was taken.
        turn = Signal(max=max(2, len(self.ports)))
        we   = Signal()
        self.comb += [
            robin.ce.eq(~pending),
            turn.eq(robin.grant),
            Case(turn, cases),
            we.eq(reduce(or_, [port.cmd.we & (turn == index) for index, port in enumerate(self.ports)])),
        ]
        self.sync += [
            reading.eq(Mux(take & ~we, 1 << turn, 0)),
            If(take & we,
                pending.eq(1),
                owner.eq(turn),
                target.eq(address),
            ),
        ]
        writes = {}
        done = Signal()
        for index, port in enumerate(self.ports):
            if port.mode == "read":
                continue
            writes[index] = [
                port.wdata.ready.eq(1),
                done.eq(port.wdata.valid),
                data_in.eq(port.wdata.data),
                mask.eq(port.wdata.we),
            ]
        self.comb += If(pending,
            address.eq(target),
            Case(owner, writes),
            enable.eq(done),
        )
        self.sync += If(pending & done, pending.eq(0))

    def _add_blocks(self, address, data_in, mask, enable, data_out):
        across = self.data_width//BLOCK_BITS
        deep   = BLOCKS//across
        bank   = address[BLOCK_ADDRESS_BITS:] if deep > 1 else None
        bank_d = Signal(max=max(2, deep))
        if deep > 1:
            self.sync += bank_d.eq(bank)
        outputs = {}
        for row in range(deep):
            words = []
            for column in range(across):
                word = Signal(BLOCK_BITS)
                low, high = mask[2*column], mask[2*column + 1]
                self.specials += Instance("SB_SPRAM256KA",
                    i_CLOCK      = ClockSignal("sys"),
                    i_STANDBY    = 0,
                    i_SLEEP      = 0,
                    i_POWEROFF   = 1,
                    i_ADDRESS    = address[:BLOCK_ADDRESS_BITS],
                    i_DATAIN     = data_in[BLOCK_BITS*column:BLOCK_BITS*(column + 1)],
                    i_MASKWREN   = Cat(low, low, high, high),  # by nibble
                    i_WREN       = enable & (bank == row) if deep > 1 else enable,
                    i_CHIPSELECT = 1,
                    o_DATAOUT    = word,
                )
                words.append(word)
            outputs[row] = data_out.eq(Cat(*words))
        self.comb += Case(bank_d, outputs)
