# SPDX-License-Identifier: BSD-2-Clause
"""What a board is: facts for people and tools, and the three pieces that its SoC is made of."""

from dataclasses import dataclass, replace

from mixpe.errors import ConfigError
from mixpe_boards.memory import Memory
from mixpe_gateware.contract.config import Config

TOOLCHAINS = ("trellis", "icestorm", "apicula", "vivado")  # the last is the vendor's
OPEN_TOOLCHAINS = TOOLCHAINS[:-1]
LINKS = ("uart", "etherbone")


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board and the accelerator it carries; each board is a subclass with three methods.

    LiteX is loaded only when a SoC is made, so that boards can be listed and programmed without it.

    Parameters
    ----------
    name : str
        As in ``mixpe build NAME``.
    title : str
    fpga : str
    toolchain : str
        One of `TOOLCHAINS`.
    memory : Memory
    clock_hz : int
        System clock, and clock of the array.
    config : Config
        Shape of the array. `memory_bits` is the width of the memory controller's native port.
    target : str
        FPGA family for vendor primitives in the array, or ``"portable"``.
    cpu : bool
        VexRiscv with LiteX's BIOS, which trains the memory.
    links : tuple of str
        Host links that the board has; the first is the default.
    ethernet : int
        Mbit/s of the wire, where `links` has ``"etherbone"``.
    baudrate : int
        The fastest that the board's UART bridge takes.
    framed : bool
        The UART's bridge takes frames beside UARTBone; False where the FPGA has no room for them, or was not routed
        with them.
    loader : tuple of str
        Arguments of openFPGALoader that name the board or its cable.
    dfu : bool
        Programmed over USB by a bootloader (DFU), which writes its flash: there is no loading until power is off, and
        no IDCODE to read.
    idcode : int
        JTAG IDCODE of the FPGA, 32 bits; 0 where the FPGA has no JTAG. See `idcode_mask`.
    bitstream : str
        Suffix of the file that is programmed.
    decoder : dict or None
        What `config` gets beside `decoder`, `fused` and `minima` in builds with the decoder; None: it has no room.
    note : str
        What a user should know; for instance that LiteX-Boards has only the nearest relative.
    """

    name: str
    title: str
    fpga: str
    toolchain: str
    memory: Memory
    clock_hz: int
    config: Config
    target: str = "portable"
    cpu: bool = False
    links: tuple = ("uart",)
    ethernet: int = 0
    baudrate: int = 1_000_000
    framed: bool = True
    loader: tuple = ()
    dfu: bool = False
    idcode: int = 0
    bitstream: str = ".bit"
    decoder: dict | None = None
    note: str = ""

    def platform(self):
        """Make the LiteX-Boards platform, for `toolchain`."""
        raise NotImplementedError

    def clocking(self, platform):
        """Make the module with the clock domains, at `clock_hz`."""
        raise NotImplementedError

    def add_memory(self, soc):
        """Add LiteDRAM to the SoC with `soc.add_sdram(…, l2_cache_size=0)`, or another memory with `soc.add_pool`."""
        raise NotImplementedError

    def add_etherbone(self, soc, **options):
        """Add LiteEth with an Etherbone bridge, where `links` has it."""
        raise ConfigError(f"{self.title} has no Ethernet; its links are {', '.join(self.links)}")

    @property
    def builds(self):
        """The board as it is, and with the decoder where it can have one: tuple of Board."""
        return (self,) if self.decoder is None else (self, self.changed(decoder=True))

    @property
    def is_open(self):
        """The bitstream is made with open tools from the package registry."""
        return self.toolchain in OPEN_TOOLCHAINS

    def framed_on(self, link=None):
        """A link's bridge takes frames beside UARTBone."""
        return self.framed and link in (None, "uart")

    @property
    def idcode_mask(self):
        """Bits of the IDCODE that say which FPGA it is: the upper four are the family on ECP5, a revision elsewhere."""
        return 0xFFFFFFFF if self.toolchain == "trellis" else 0x0FFFFFFF

    @property
    def idcode_text(self):
        """The IDCODE for people, with a question mark for what does not matter."""
        return f"0x{self.idcode:08x}" if self.idcode_mask >> 28 else f"0x?{self.idcode & self.idcode_mask:07x}"

    @property
    def memory_mbps(self):
        """Peak of the memory's pins in MB/s."""
        return self.memory.mbps(self.clock_hz)

    @property
    def macs_per_cycle(self):
        return self.config.rows*self.config.lanes

    def build_name(self, link=None):
        """Name of a build, for folder and files: board, array shape, the decoder, and a link other than the first."""
        parts = [self.name, self.config.name]
        if self.config.decoder:
            parts.append("decoder")
        if link not in (None, self.links[0]):
            parts.append(link)
        return "_".join(parts)

    def changed(self, *, rows=None, clock_hz=None, fused=None, decoder=False):
        """The same board with another array or clock, or with the decoder and all formats of weights.

        Raises
        ------
        ConfigError
            A value that cannot be built.
        """
        shape = {name: value for name, value in (("rows", rows), ("fused", fused)) if value is not None}
        if decoder:
            if self.decoder is None:
                raise ConfigError(f"{self.title} has no room for the decoder")
            shape = {"decoder": True, "fused": True, "minima": True, **self.decoder, **shape}
        if rows is not None:
            shape["scalers"] = min(shape.get("scalers", self.config.scalers), rows)
        if clock_hz is not None and not 1_000_000 <= clock_hz <= 400_000_000:
            raise ConfigError(f"clock_hz must be 1 MHz … 400 MHz, not {clock_hz/1e6:g} MHz")
        return replace(self, config=replace(self.config, **shape), clock_hz=clock_hz or self.clock_hz)
