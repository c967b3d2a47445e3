# SPDX-License-Identifier: BSD-2-Clause
"""The simulated SoC: LiteDRAM with real timing, a host link, the accelerator, and a CPU only on request."""

from litedram import modules as dram_modules
from litedram.common import PhySettings, get_default_cl_cwl, get_sys_latency, get_sys_phase
from litedram.core.controller import ControllerSettings
from litedram.phy.model import SDRAMPHYModel
from litex.build.generic_platform import Pins, Subsignal
from litex.build.sim import SimPlatform
from litex.soc.interconnect import stream
from migen import Cat, ClockDomain, Module, Signal

from mixpe.errors import ConfigError
from mixpe_gateware.dram.refresher import sdr_settings
from mixpe_gateware.dram.refreshtime import with_refresh_time
from mixpe_gateware.link import wide_layout
from mixpe_gateware.soc import BaseSoC
from mixpe_sim.memory import DEFAULT_MEMORY, find_memory

# Cycles after which the bridge forgets a frame that was cut off. LiteX's 100 ms would be ten million cycles, half a
# minute of simulation. Host time counts only while a job runs: else the link module stops the clock inside a frame.
BRIDGE_TIMEOUT_CYCLES = 1 << 18

DRAM_SPEEDUP = 100  # a DRAM model needs no 600 us to power up; that would be half a second of simulation

MEMTEST_BYTES = 8*1024  # with a CPU: the BIOS would simulate for minutes

LINK_BYTES = 4  # a cycle, in each direction: simulated cycles are dear


def _stream_pads(nbytes):
    return [Subsignal(f"{side}_{name}", Pins(bits)) for side in ("source", "sink")
            for name, bits in (("valid", 1), ("ready", 1), ("data", 8*nbytes))]


def _io():
    return [
        ("sys_clk", 0, Pins(1)),
        ("serial",  0, *_stream_pads(1)),  # console of the BIOS, when there is a CPU
        # The host link. `framing`: inside a frame or answering; `hungry`: inside a frame, the host's turn; `busy`: the
        # SoC works on its own, so its clock must run; `attached`: there is a client.
        ("link",    0, *_stream_pads(LINK_BYTES), Subsignal("sink_count", Pins(3)), Subsignal("framing", Pins(1)),
                       Subsignal("hungry", Pins(1)), Subsignal("busy", Pins(1)), Subsignal("attached", Pins(1))),
    ]


def half_rate_settings(chip):
    """Settings of a PHY at 1:2 with the latencies of ECP5DDRPHY.

    That PHY moves a beat in two cycles, and so does the controller by the chip's tCCD; the model moves it in one of
    them, over four phases.

    Parameters
    ----------
    chip : Memory
        DDR3.

    Returns
    -------
    PhySettings
    """
    cl, cwl = get_default_cl_cwl("DDR3", 1/(2*chip.clk_hz))
    read, write = (get_sys_latency(2, cycles) for cycles in (cl, cwl))
    return PhySettings(phytype="SDRAMPHYModel", memtype="DDR3", databits=chip.data_bits, dfi_databits=2*chip.data_bits,
        nphases=4, rdphase=get_sys_phase(2, read, cl), wrphase=get_sys_phase(2, write, cwl), cl=cl, cwl=cwl,
        read_latency=read + 10, write_latency=write)


class LinkPads(Module):
    """The link module's pads as a PHY of `add_link`."""

    def __init__(self, pads):
        self.source = stream.Endpoint(wide_layout(LINK_BYTES))
        self.sink   = stream.Endpoint([("data", 8*LINK_BYTES)])
        self.comb += [
            self.source.valid.eq(pads.sink_valid),
            self.source.data.eq(pads.sink_data),
            self.source.count.eq(pads.sink_count),
            pads.sink_ready.eq(self.source.ready),
            pads.source_valid.eq(self.sink.valid),
            pads.source_data.eq(self.sink.data),
            self.sink.ready.eq(pads.source_ready),
        ]


class SimClock(Module):
    """Clock domain `sys` from the simulator's clock, with one cycle of reset at power-on."""

    def __init__(self, clk):
        self.clock_domains.cd_sys = ClockDomain()
        self.clock_domains.cd_por = ClockDomain(reset_less=True)

        # # #

        running = Signal()
        self.sync.por += running.eq(1)
        self.comb += [self.cd_sys.clk.eq(clk), self.cd_por.clk.eq(clk), self.cd_sys.rst.eq(~running)]


class SimSoC(BaseSoC):
    """A LiteX SoC in the style of ``litex_sim``: DRAM model, host link, accelerator.

    The memory is used without a cache, so the accelerator's DMA and the bus see the same bytes at once.

    Parameters
    ----------
    config : mixpe_gateware.contract.config.Config or None
        The accelerator; None leaves it out. Its `memory_bits` must be the memory's.
    memory : str
        Name in `mixpe_sim.memory.MEMORIES`.
    dram_verbosity : int
        1 prints each violation of a DRAM timing, 2 each command too.
    cpu_type : str or None
        For instance ``"vexriscv"``: LiteX's BIOS boots beside the accelerator.
    link : str
        ``"uart"`` (our bridge) or ``"etherbone"`` (LiteEth's).
    framed : bool
        Our bridge takes frames, as in `LinkBridge`.
    **kwargs
        Handed to `BaseSoC`.

    Attributes
    ----------
    ready : Signal(), out
        The memory is initialised: SDR by the host's driver as on the boards, where there is an accelerator and no CPU;
        else by gateware, some 1000 cycles after reset.
    busy : Signal(), out
        The SoC has work of its own: its clock must not stop.
    """

    def __init__(self, config=None, *, memory=DEFAULT_MEMORY, dram_verbosity=0, probe=False, refresh=True,
                 cpu_type=None, link="uart", framed=True, **kwargs):
        chip = find_memory(memory)
        if config is not None and config.memory_bits != chip.port_bits:
            raise ConfigError(f"memory_bits of memory {memory} is {chip.port_bits}, not {config.memory_bits}")
        platform = SimPlatform("SIM", _io())
        super().__init__(platform, chip.clk_hz, SimClock(platform.request("sys_clk")), ident="mixpe simulation",
            cpu_type=cpu_type, console="sim", **{"with_ctrl": True, **kwargs})

        # Memory.
        module = getattr(dram_modules, chip.module)
        if chip.rate == "1:2":
            module = with_refresh_time(module)
        module = module(chip.clk_hz, chip.rate)
        self.sdrphy = SDRAMPHYModel(module=module, data_width=chip.data_bits, clk_freq=chip.clk_hz,
                                    settings=half_rate_settings(chip) if chip.rate == "1:2" else None,
                                    verbosity=dram_verbosity)
        is_sdr   = self.sdrphy.settings.memtype == "SDR"
        settings = sdr_settings if is_sdr else ControllerSettings
        self.add_sdram("sdram", phy=self.sdrphy, module=module, l2_cache_size=0,
                       controller_settings=settings(with_refresh=refresh))
        self.busy = Signal()
        working = []
        if is_sdr and config is not None and cpu_type is None:
            self.settle_memory("host")
        else:
            self.settle_memory("gateware", speedup=DRAM_SPEEDUP,
                               memtest_bytes=None if cpu_type is None else MEMTEST_BYTES)
            working.append(~self.ready)

        # Host link.
        if link == "etherbone":
            from mixpe_sim.ethernet import add_sim_etherbone, gmii_io
            platform.add_extension([gmii_io()])
            pads = platform.request("gmii", 0)
            working.append(add_sim_etherbone(self, pads))
        else:
            pads   = platform.request("link", 0)
            bridge = self.add_link(LinkPads(pads), timeout_cycles=BRIDGE_TIMEOUT_CYCLES, wide=True, bursts=True,
                                   framed=framed)
            if framed:
                self.comb += bridge.attached.eq(pads.attached)
            self.comb += [pads.framing.eq(bridge.framing), pads.hungry.eq(bridge.hungry)]
        self.comb += pads.busy.eq(self.busy)

        # Accelerator.
        if config is not None:
            working.append(self.add_accelerator(config).busy)
        if probe and config is not None:
            from mixpe_gateware.control.probe import add_probe
            working.append(add_probe(self).busy)
        if cpu_type is not None:
            working.append(1)
        self.comb += self.busy.eq(Cat(*working) != 0)

        self.comb += platform.trace.eq(1)
