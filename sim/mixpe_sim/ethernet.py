# SPDX-License-Identifier: BSD-2-Clause
"""The Etherbone link of the simulated SoC: LiteEth with its MAC, ARP, IP, UDP and bridge behind a GMII PHY."""

from liteeth.phy.gmii import LiteEthPHYGMII
from litex.build.generic_platform import Pins, Subsignal

from mixpe_gateware.link.etherbone import add_etherbone

IP_ADDRESS = "192.168.1.50"  # of the SoC on the simulated wire: what boards have, and the C module knows


def gmii_io():
    """Pads of the wire; `busy`: the SoC works on its own, so its clock must run."""
    return ("gmii", 0, Subsignal("rx_data", Pins(8)), Subsignal("rx_dv", Pins(1)), Subsignal("rx_er", Pins(1)),
            Subsignal("tx_data", Pins(8)), Subsignal("tx_en", Pins(1)), Subsignal("tx_er", Pins(1)),
            Subsignal("busy", Pins(1)))


def add_sim_etherbone(soc, pads):
    """Give a simulated SoC an Etherbone bridge, as boards have it.

    Parameters
    ----------
    soc : SoC
    pads : Record
        Of `gmii_io`.

    Returns
    -------
    Signal()
        The bridge uses the bus.
    """
    soc.ethphy = LiteEthPHYGMII(None, pads, model=True)
    return add_etherbone(soc, soc.ethphy, ip_address=IP_ADDRESS).wishbone.bus.cyc
