# SPDX-License-Identifier: BSD-2-Clause
"""Give a SoC the link bridge."""

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.link.bridge import LinkBridge
from mixpe_gateware.link.buffered_phy import BufferedPHY
from mixpe_gateware.link.memory import MemoryPath
from mixpe_gateware.link.registered_bus import RegisteredBus

TIMEOUT_S = 100e-3  # without a byte inside a frame, as LiteX's bridge has it: the host waits so long for it


def add_link(soc, phy, *, name="link", timeout_cycles=None, wide=False, bursts=False, registers=False, framed=False,
             ready=1):
    """Give a SoC a host link over any byte stream.

        pins │PHY│ ─► registers ─►│LinkBridge│─► registers ─► bus
                                  │          │─► two ports of the memory (`bursts`)

    Parameters
    ----------
    soc : SoC
        For `bursts` with LiteDRAM as region ``main_ram``.
    phy : module
        With `source` (bytes from the host) and `sink` (bytes to it), such as LiteX's RS232PHY.
    name : str
    timeout_cycles : int or None
        None: 100 ms, or the power of two below.
    wide, framed : bool
        As in `LinkBridge`.
    bursts : bool
        Memory is reached through ports of its own: for links that are faster than single accesses on the bus. A UART at
        3 Mbaud brings a word in 13 microseconds.
    registers : bool
        Registers in front of a byte-wide bridge and behind it: the UART is at its pins and the bus where the memory is.
        They cost some 60 flip-flops and a cycle or two an access.
    ready : Signal() or 1
        As in `MemoryPath`.

    Returns
    -------
    LinkBridge

    Raises
    ------
    ConfigError
        `bursts` without LiteDRAM.
    """
    memory = None
    if bursts:
        if not hasattr(soc, "sdram") or "main_ram" not in soc.bus.regions:
            raise ConfigError("add the memory first: the SoC has no LiteDRAM with a main_ram region")
        region, crossbar = soc.bus.regions["main_ram"], soc.sdram.crossbar
        memory = MemoryPath(crossbar.get_port(mode="write"), crossbar.get_port(mode="read"), mem_base=region.origin,
            mem_bytes=region.size, ready=ready)
        soc.add_module(name=f"{name}_memory", module=memory)
    if timeout_cycles is None:
        timeout_cycles = int(TIMEOUT_S*soc.sys_clk_freq)
    bridge = LinkBridge(timeout_cycles=timeout_cycles, memory=memory, wide=wide, framed=framed)
    soc.add_module(name=f"{name}_phy", module=phy)
    soc.add_module(name=name, module=bridge)
    near, bus = phy, bridge.wishbone
    if registers:
        near    = BufferedPHY(phy)
        outside = RegisteredBus(bus)
        bus     = outside.bus
        soc.add_module(name=f"{name}_streams", module=near)
        soc.add_module(name=f"{name}_bus", module=outside)
    soc.comb += [near.source.connect(bridge.sink), bridge.source.connect(near.sink)]
    soc.bus.add_master(name=name, master=bus)
    return bridge
