# SPDX-License-Identifier: BSD-2-Clause
"""An Etherbone bridge for a SoC: LiteEth's, behind a gate that keeps broken packets from it."""

from liteeth.frontend.etherbone import LiteEthEtherbone

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.registered_bus import RegisteredBus
from mixpe_gateware.link.udp_core import WORD_BYTES, UdpCore
from mixpe_gateware.link.udp_gate import GatedUdp, is_at_work

MAC_ADDRESS  = 0x10e2d5000000  # LiteX's
UDP_PORT     = 1234
# The longest record, 255 words and their address. LiteX's 16 words bound a read to 52 KB/s.
RECORD_WORDS = 256


def add_etherbone(soc, phy, *, ip_address, mac_address=MAC_ADDRESS, udp_port=UDP_PORT, buffer_depth=RECORD_WORDS):
    """Give a SoC an Etherbone bridge behind an Ethernet PHY, as LiteX's `add_etherbone` does but for the gate.

    MAC, ARP, IP and UDP are at the system clock, four bytes a cycle. At the wire's clock, a byte a cycle, they reach 52
    of the 125 MHz that gigabit needs on ECP5.

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

    Raises
    ------
    ConfigError
        The wire brings more bytes than the system clock takes.
    """
    wire_hz = getattr(phy, "rx_clk_freq", 0)*phy.dw//8  # bytes a second; a model has no clock of its own
    if wire_hz >= WORD_BYTES*soc.clk_freq:
        raise ConfigError(f"Ethernet of {wire_hz/1e6:g} MB/s needs a system clock above "
                          f"{wire_hz/WORD_BYTES/1e6:g} MHz, not {soc.clk_freq/1e6:g}")
    core = UdpCore(phy, mac_address=mac_address, ip_address=ip_address, clk_freq=soc.clk_freq)
    soc.add_module(name="ethcore_etherbone", module=core)
    udp    = GatedUdp(core.udp)
    bridge = LiteEthEtherbone(udp, udp_port, buffer_depth=buffer_depth)
    soc.comb += udp.gates[0].busy.eq(is_at_work(bridge))
    soc.add_module(name="etherbone_gate", module=udp.gates[0])
    soc.add_module(name="etherbone", module=bridge)
    # The addresses come out of the bridge's block RAM.
    soc.etherbone_bus = RegisteredBus(bridge.wishbone.bus, requests=True)
    soc.bus.add_master(name="etherbone", master=soc.etherbone_bus.bus)
    if not getattr(phy, "model", False):
        clocks = getattr(phy, "crg", phy)
        soc.platform.add_period_constraint(clocks.cd_eth_rx.clk, 1e9/phy.rx_clk_freq)
        if clocks.cd_eth_tx.clk is clocks.cd_eth_rx.clk:
            soc.platform.add_false_path_constraints(soc.crg.cd_sys.clk, clocks.cd_eth_rx.clk)
        else:
            soc.platform.add_period_constraint(clocks.cd_eth_tx.clk, 1e9/phy.tx_clk_freq)
            soc.platform.add_false_path_constraints(soc.crg.cd_sys.clk, clocks.cd_eth_rx.clk, clocks.cd_eth_tx.clk)
    return bridge
