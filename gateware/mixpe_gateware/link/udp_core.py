# SPDX-License-Identifier: BSD-2-Clause
"""LiteEth's UDP core with registers between its layers.

    PHY ── MAC ─┬─ ARP
                └─▌─ IP ─┬─▌─ ICMP echo
                         └─▌─ UDP ── ports        ▌ registers in both directions, for valid and for ready

In LiteEth's own core the readiness of each layer passes up through all of them in one cycle, with the comparisons of
addresses, lengths and ports on the way: 25 ns on ECP5 at four bytes a cycle.
"""

from liteeth.common import convert_ip
from liteeth.core.arp import LiteEthARP
from liteeth.core.icmp import LiteEthICMP
from liteeth.core.ip import LiteEthIP
from liteeth.core.udp import LiteEthUDP
from liteeth.mac import LiteEthMAC
from litex.gen import LiteXModule
from litex.soc.interconnect import stream

WORD_BYTES = 4  # of the data path


class RegisteredPorts(LiteXModule):
    """A layer as the layers above it ask for it, with registers at each port.

    Parameters
    ----------
    layer : LiteEthMAC or LiteEthIP
    """

    def __init__(self, layer):
        self.crossbar = _Crossbar(layer.crossbar, self)


class _Crossbar:
    """Hands out ports; not a module, whose attributes LiteX searches for registers."""

    def __init__(self, ports, owner):
        self.ports, self.owner = ports, owner

    def get_port(self, number, dw):
        """A port with `sink` (to the network) and `source` (from it)."""
        inner = self.ports.get_port(number, dw)
        port  = _Port(inner)
        self.owner.submodules += port
        self.owner.comb += [
            port.out.source.connect(inner.sink),
            inner.source.connect(port.back.sink),
        ]
        return port


class _Port(LiteXModule):
    def __init__(self, inner):
        self.out  = stream.Buffer(inner.sink.description, pipe_ready=True)
        self.back = stream.Buffer(inner.source.description, pipe_ready=True)
        self.sink, self.source = self.out.sink, self.back.source


class UdpCore(LiteXModule):
    """MAC, ARP, IP, ICMP echo and UDP at the system clock, four bytes a cycle.

    Parameters
    ----------
    phy : module
        Of LiteEth.
    mac_address : int
    ip_address : str
    clk_freq : float
        Of the system, in Hz.

    Attributes
    ----------
    udp : LiteEthUDP
        Gives ports by ``crossbar.get_port``.
    """

    def __init__(self, phy, *, mac_address, ip_address, clk_freq):
        ip_address = convert_ip(ip_address)
        dw         = 8*WORD_BYTES
        self.mac = LiteEthMAC(phy=phy, dw=dw, interface="crossbar", hw_mac=mac_address, with_sys_datapath=True,
                              tx_cdc_buffered=True, rx_cdc_buffered=True)
        self.arp = LiteEthARP(mac=self.mac, mac_address=mac_address, ip_address=ip_address, clk_freq=clk_freq, dw=dw)
        self.mac_ports = RegisteredPorts(self.mac)
        self.ip   = LiteEthIP(mac=self.mac_ports, mac_address=mac_address, ip_address=ip_address,
                              arp_table=self.arp.table, dw=dw)
        self.ip_ports = RegisteredPorts(self.ip)
        self.icmp = LiteEthICMP(ip=self.ip_ports, ip_address=ip_address, dw=dw)
        self.udp  = LiteEthUDP(ip=self.ip_ports, ip_address=ip_address, dw=dw)
