# SPDX-License-Identifier: BSD-2-Clause
"""Add the accelerator to a LiteX SoC, in one call."""

from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from migen import Signal

from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.registers import COUNTER_BANK, CSR_BANK
from mixpe_gateware.control.checksum import Checksum
from mixpe_gateware.control.registers import AcceleratorRegisters
from mixpe_gateware.gemm.inbox import Inbox

INBOX = "mixpe_inbox"  # bus region


class MixPE(LiteXModule):
    """Accelerator, checksum unit and registers on the ports of a memory controller.

    Parameters
    ----------
    config : Config
    memory : LiteDRAMCrossbar
        Or anything with `get_port(mode=…)`.
    mem_base, mem_bytes : int
        Bus address and size of the memory. Job addresses are offsets in it; it starts at the controller's address 0.
    inbox_base : int
        Bus address of `inbox.bus`, where the configuration has an inbox.
    clock_hz : int
    chunk_beats : int
        Words of a DRAM row.
    ready : Signal() or 1
        High when the memory is initialised.
    target : str
        FPGA family for vendor primitives, or ``"portable"``.

    Attributes
    ----------
    busy : Signal(), out
        A job, a checksum or a copy of the counters is running.
    """

    def __init__(self, config, memory, *, mem_base, mem_bytes, clock_hz, inbox_base=0, chunk_beats=128, ready=1,
                 target="portable"):
        reads = [memory.get_port(mode="read") for _ in range(config.read_ports + 2)]
        write = memory.get_port(mode="write")
        others = [memory.get_port(mode=mode) for mode in ("read", "write")] if config.decoder else []
        if write.data_width != config.memory_bits:
            raise ConfigError(f"the memory's port has {write.data_width} bits; the configuration must have "
                              f"memory_bits={write.data_width}, not {config.memory_bits}")
        if mem_bytes > 1 << 32:
            raise ConfigError(f"the accelerator addresses 4 GiB of memory, not {mem_bytes} bytes")
        act_port = reads[0]
        if config.inbox_bytes:
            self.inbox = Inbox(config, act_port, mem_bytes)
            act_port   = self.inbox.port
        self.accelerator = Accelerator(config, mem_bytes, reads[2:], act_port, write, decoder_ports=others,
            chunk_beats=chunk_beats, target=target)
        self.checksum = Checksum(reads[1])
        self.registers = AcceleratorRegisters(self.accelerator, self.checksum, clock_hz=clock_hz, mem_base=mem_base,
            mem_bytes=mem_bytes, inbox_base=inbox_base, ready=ready)
        self.busy = Signal()
        self.comb += self.busy.eq(self.accelerator.busy | self.checksum.busy | self.accelerator.counters.latching)

    def get_csrs(self):
        """Only the table's registers, in its order."""
        return self.registers.get_csrs()

    def get_memories(self):
        """The counters, read-only for the bus."""
        return [(True, self.accelerator.counters.memory)]


def add_mixpe(soc, config, *, memory=None, ready=1, target="portable"):
    """Add a MixPE accelerator to a SoC.

    The SoC must have its memory already, as region ``main_ram``: LiteDRAM (`add_sdram`), or another one with ports
    (`mixpe_gateware.soc.add_pool`). The accelerator takes the CSR banks `contract.registers.CSR_BANK` and
    `COUNTER_BANK`, where the driver looks for them, and `config.read_ports` + 3 ports of the memory, two more with a
    decoder. The host's path to memory must not be cached (``l2_cache_size=0``): the accelerator reads the DRAM.

    Parameters
    ----------
    soc : SoC
    config : Config
        `memory_bits` must be the width of the memory's port.
    memory : LiteDRAMCrossbar, optional
        Where the ports come from, or anything else with `get_port(mode=…)`, `data_width` and `address_width`. None:
        `soc.sdram`.
    ready : Signal() or 1
        High when the memory is initialised.
    target : str

    Returns
    -------
    MixPE
        Also `soc.mixpe`.

    Raises
    ------
    ConfigError
        The SoC has no memory, or a cache in front of it, or the configuration does not fit its port.
    """
    chunk = {}
    if memory is None:
        if not hasattr(soc, "sdram"):
            raise ConfigError("add the memory first: the SoC has no LiteDRAM, and no other memory was given")
        memory     = soc.sdram.crossbar
        controller = soc.sdram.controller
        chunk["chunk_beats"] = 1 << (controller.settings.geom.colbits - controller.interface.address_align)
    if "main_ram" not in soc.bus.regions:
        raise ConfigError("add the memory first: the SoC has no main_ram region")
    if hasattr(soc, "l2_cache"):
        raise ConfigError(f"the host reaches the memory through an L2 cache ({soc.constants['CONFIG_L2_SIZE']} bytes), "
                          "and the accelerator reads the memory itself: call add_sdram with l2_cache_size=0")
    region = soc.bus.regions["main_ram"]
    if hasattr(memory, "address_width"):
        size = memory.data_width//8 << memory.address_width
        if region.size > size:
            raise ConfigError(f"the memory has {size} bytes; the region main_ram must not have more: {region.size}")
    inbox_base = 0
    if config.inbox_bytes:
        soc.bus.add_region(INBOX, SoCRegion(size=config.inbox_bytes, cached=False))
        inbox_base = soc.bus.regions[INBOX].origin
    soc.mixpe  = MixPE(config, memory, mem_base=region.origin, mem_bytes=region.size, clock_hz=soc.sys_clk_freq,
        inbox_base=inbox_base, ready=ready, target=target, **chunk)
    if config.inbox_bytes:
        soc.bus.add_slave(INBOX, soc.mixpe.inbox.bus)
    soc.csr.add("mixpe", n=CSR_BANK)
    soc.csr.add("mixpe_counters", n=COUNTER_BANK)
    return soc.mixpe
