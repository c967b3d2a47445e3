# SPDX-License-Identifier: BSD-2-Clause
"""The SoC of a board: memory, host link, accelerator, and a CPU only where the memory has to be trained.

    host ── UARTBone or Etherbone ──► bus ──┬─► registers of the accelerator (CSR bank 16)
                                            └─► memory ◄── accelerator
"""

from litedram.frontend.wishbone import LiteDRAMWishbone2Native
from litex.gen import LiteXModule
from litex.soc.cores.uart import UARTPHY, UARTBone
from litex.soc.integration.soc import SoCRegion
from litex.soc.integration.soc_core import SoCCore
from litex.soc.interconnect import stream, wishbone

from mixpe.errors import ConfigError
from mixpe_boards.board import LINKS
from mixpe_gateware.contract.memory_init import INIT_BANK
from mixpe_gateware.contract.registers import COUNTER_BANK, CSR_BANK
from mixpe_gateware.dram import InitRegisters, add_host_init
from mixpe_gateware.integration import MixPE, add_mixpe
from mixpe_gateware.link.registered_bus import RegisteredBus

CSR_BASE = 0xf000_0000
MAIN_RAM = 0x4000_0000
MEMTEST_BYTES = 64*1024  # by the BIOS after training; the host's own test is longer


class BufferedPHY(LiteXModule):
    """A UART's PHY with registers at its streams: the UART is at its pins, and what speaks to it need not be."""

    def __init__(self, phy):
        self.rx = rx = stream.Buffer([("data", 8)])
        self.tx = tx = stream.Buffer([("data", 8)], pipe_ready=True)
        self.sink, self.source = tx.sink, rx.source
        self.comb += [
            phy.source.connect(rx.sink),
            tx.source.connect(phy.sink),
        ]


class BoardSoC(SoCCore):
    """A LiteX SoC with the accelerator of a board.

    Parameters
    ----------
    board : Board
    link : str or None
        ``"uart"`` or ``"etherbone"``; None is the board's default.
    ip_address : str
        Of the Etherbone bridge.

    Raises
    ------
    ConfigError
        The board has no such link, or its memory's port is not `board.config.memory_bits` wide.
    """

    def __init__(self, board, *, link=None, ip_address="192.168.1.50"):
        link = link or board.links[0]
        if link not in LINKS or link not in board.links:
            raise ConfigError(f"{board.title} has no link {link!r}; it has {', '.join(board.links)}")
        platform = board.platform()
        self.mem_map = dict(SoCCore.mem_map)  # SoCCore would write into its class
        self.crg = board.clocking(platform)
        options = {"cpu_type": None, "with_timer": False, "with_uart": False, "with_ctrl": False,
            "integrated_rom_size": 0, "integrated_sram_size": 0, "ident": f"mixpe {board.name}"}
        if board.cpu:
            # The console goes nowhere: its pins are the host link, and a full FIFO would stop the BIOS.
            options.update(cpu_type="vexriscv", cpu_variant="standard", with_timer=True, with_ctrl=True,
                with_uart=True, uart_name="stub", integrated_rom_size=0x20000, integrated_sram_size=0x2000)
        SoCCore.__init__(self, platform, board.clock_hz, **options)
        self.mem_map["csr"] = CSR_BASE

        # Memory.
        self.has_pool = False
        self.ready    = 1
        board.add_memory(self)
        if not self.has_pool and board.cpu:
            self.ddrctrl = InitRegisters()
            self.csr.add("ddrctrl", n=INIT_BANK)
            self.ready = self.ddrctrl.ready
            self.add_constant("MEMTEST_DATA_SIZE", MEMTEST_BYTES)
            self.add_constant("MEMTEST_ADDR_SIZE", MEMTEST_BYTES)
        elif not self.has_pool:
            self.ready = add_host_init(self)

        # Host link.
        if link == "uart":
            self._add_uart(board)
        else:
            board.add_etherbone(self, ip_address=ip_address)

        # Accelerator.
        if not self.has_pool:
            add_mixpe(self, board.config, ready=self.ready, target=board.target)
        else:
            region = self.bus.regions["main_ram"]
            self.mixpe = MixPE(board.config, self.pool, mem_base=region.origin, mem_bytes=region.size,
                clock_hz=board.clock_hz, ready=self.ready, target=board.target)
            self.csr.add("mixpe", n=CSR_BANK)
            self.csr.add("mixpe_counters", n=COUNTER_BANK)

    def _add_uart(self, board):
        if board.config.is_shallow:
            self.add_uartbone(baudrate=board.baudrate)
            return
        self.uartbone_phy = UARTPHY(self.platform.request("serial"), board.clock_hz, board.baudrate)
        self.uartbone     = UARTBone(BufferedPHY(self.uartbone_phy), board.clock_hz,
            address_width=self.bus.address_width)
        self.uartbone_bus = RegisteredBus(self.uartbone.wishbone)
        self.bus.add_master(name="uartbone", master=self.uartbone_bus.bus)

    def add_etherbone(self, phy, **options):
        """Add an Etherbone bridge behind a PHY: LiteX's, with a gate that keeps broken and doubled packets from it."""
        from mixpe_gateware.link.etherbone import add_etherbone
        return add_etherbone(self, phy, **options)

    def add_pool(self, pool):
        """Use a memory with LiteDRAM-like ports (`get_port`, `data_width`, `address_width`) instead of LiteDRAM."""
        size = pool.data_width//8 << pool.address_width
        bus  = wishbone.Interface(data_width=32, address_width=32, addressing="word")
        slim = wishbone.Interface(data_width=pool.data_width, address_width=32, addressing="word")
        self.has_pool = True
        self.add_module(name="pool", module=pool)
        self.converter = wishbone.Converter(bus, slim)
        self.bridge    = LiteDRAMWishbone2Native(slim, pool.get_port(), base_address=MAIN_RAM)
        self.bus.add_slave("main_ram", bus, SoCRegion(origin=MAIN_RAM, size=size, mode="rwx"))
