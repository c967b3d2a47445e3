# SPDX-License-Identifier: BSD-2-Clause
"""An Etherbone bridge for a SoC: LiteEth's, behind a gate that keeps broken packets from it."""

from liteeth.core import LiteEthUDPIPCore
from liteeth.frontend.etherbone import LiteEthEtherbone
from migen import ClockDomain, ClockDomainsRenamer, ClockSignal, ResetSignal

from mixpe.gateware.link.udp_gate import GatedUdp

MAC_ADDRESS  = 0x10e2d5000000  # LiteX's
UDP_PORT     = 1234
# The longest record, 255 words and their address. LiteX's 16 words bound a read to 52 KB/s.
RECORD_WORDS = 256


def add_etherbone(soc, phy, *, ip_address, mac_address=MAC_ADDRESS, udp_port=UDP_PORT, buffer_depth=RECORD_WORDS):
    """Give a SoC an Etherbone bridge behind an Ethernet PHY, as LiteX's `add_etherbone` does but for the gate.

    Parameters
    ----------
    soc : SoC
    phy : module
        Of LiteEth, with the clock domains ``eth_tx`` and ``eth_rx``.
    ip_address : str
    mac_address : int
    udp_port : int
        Answers go to the same number.
    buffer_depth : int
        Words of the longest record.

    Returns
    -------
    LiteEthEtherbone
        The module ``etherbone`` of the SoC.
    """
    core = LiteEthUDPIPCore(phy=phy, mac_address=mac_address, ip_address=ip_address, clk_freq=soc.clk_freq, dw=8)
    core = ClockDomainsRenamer({"eth_tx": "eth_tx", "eth_rx": "eth_rx", "sys": "eth_rx"})(core)
    soc.add_module(name="ethcore_etherbone", module=core)
    # A domain of the bridge's own name: `LiteEthUDP.get_port` crosses from it to the core's, which is renamed.
    soc.cd_etherbone = ClockDomain("etherbone")
    soc.comb += [soc.cd_etherbone.clk.eq(ClockSignal("sys")), soc.cd_etherbone.rst.eq(ResetSignal("sys"))]
    udp    = GatedUdp(core.udp)
    bridge = LiteEthEtherbone(udp, udp_port, buffer_depth=buffer_depth, cd="etherbone")
    record = bridge.record
    soc.comb += udp.gates[0].busy.eq((record.receiver.fifo.payload_fifo.level != 0)
                                     | (record.sender.fifo.payload_fifo.level != 0))
    soc.add_module(name="etherbone_gate", module=udp.gates[0])
    soc.add_module(name="etherbone", module=bridge)
    soc.bus.add_master(name="etherbone", master=bridge.wishbone.bus)
    if not getattr(phy, "model", False):
        clocks = getattr(phy, "crg", phy)
        soc.platform.add_period_constraint(clocks.cd_eth_rx.clk, 1e9/phy.rx_clk_freq)
        if clocks.cd_eth_tx.clk is clocks.cd_eth_rx.clk:
            soc.platform.add_false_path_constraints(soc.crg.cd_sys.clk, clocks.cd_eth_rx.clk)
        else:
            soc.platform.add_period_constraint(clocks.cd_eth_tx.clk, 1e9/phy.tx_clk_freq)
            soc.platform.add_false_path_constraints(soc.crg.cd_sys.clk, clocks.cd_eth_rx.clk, clocks.cd_eth_tx.clk)
    return bridge
