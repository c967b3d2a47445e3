# SPDX-License-Identifier: BSD-2-Clause
"""What can be chosen about a simulated SoC: what is built, how it is compiled, how it runs."""

from dataclasses import asdict, dataclass, fields

from mixpe.errors import ConfigError
from mixpe_gateware.contract.config import Config
from mixpe_sim.memory import DEFAULT_MEMORY, find_memory

LINKS = ("uart", "etherbone")
OPT_LEVELS = ("O0", "O1", "O2", "O3", "Os")
INBOX_BYTES  = 64 << 10  # two tokens of A16 at the longest k
CONFIG_NAMES = tuple(field.name for field in fields(Config))


@dataclass(frozen=True, kw_only=True)
class SimOptions:
    """A simulated SoC. Names and defaults of LiteX's simulation options are kept where there is one.

    Parameters
    ----------
    config : Config or None
        The accelerator. None builds the SoC without one.
    memory : str
        ``sdr``, ``sdr32``, ``sdr133``, ``ddr3`` or ``ddr3half``.
    probe : bool
        Build a bare memory reader beside the accelerator, to measure it against.
    link : str
        ``"uart"``: bytes of LiteX's UARTBone on a TCP port. ``"etherbone"``: LiteEth on a simulated wire, behind a UDP
        port.
    framed : bool
        The UART's bridge takes frames that are numbered and checked beside UARTBone's commands.
    refresh : bool
        Refresh the DRAM. Without it the model keeps its data; only to measure what refresh costs.
    cpu_type : str or None
        ``"vexriscv"`` boots LiteX's BIOS on the simulation's standard input and output.
    opt_level : str
        Of the C++ compiler: ``O0`` … ``O3``.
    threads : int
        Simulation threads.
    jobs : int
        Compiler processes; 0 for one per processor core.
    trace, trace_fst : bool
        Record all signals in ``sim.vcd`` or ``sim.fst`` of the run's folder.
    trace_start, trace_end : int
        Picoseconds; -1 is the end of the run.
    coverage : bool
        Record Verilator's coverage in ``sim.cov``.
    sdram_verbosity : int
        1 prints violations of DRAM timings, 2 each DRAM command too.
    """

    config: Config | None = None
    memory: str = DEFAULT_MEMORY
    link: str = "uart"
    framed: bool = True
    probe: bool = True
    refresh: bool = True
    cpu_type: str | None = None
    opt_level: str = "O3"
    threads: int = 1
    jobs: int = 0
    trace: bool = False
    trace_fst: bool = False
    trace_start: int = 0
    trace_end: int = -1
    coverage: bool = False
    sdram_verbosity: int = 0

    def __post_init__(self):
        chip = find_memory(self.memory)
        if self.config is not None and self.config.memory_bits != chip.port_bits:
            raise ConfigError(f"memory {self.memory} has a port of {chip.port_bits} bits; the configuration must have "
                              f"memory_bits={chip.port_bits}, not {self.config.memory_bits}")
        if self.link not in LINKS:
            raise ConfigError(f"link must be one of {', '.join(LINKS)}, not {self.link!r}")
        if self.cpu_type not in (None, "vexriscv"):
            raise ConfigError(f"cpu_type must be None or 'vexriscv', not {self.cpu_type!r}")
        if self.opt_level not in OPT_LEVELS:
            raise ConfigError(f"opt_level must be one of {', '.join(OPT_LEVELS)}, not {self.opt_level!r}")
        if not 1 <= self.threads <= 64:
            raise ConfigError(f"threads must be 1 … 64, not {self.threads!r}")
        if not 0 <= self.jobs <= 256:
            raise ConfigError(f"jobs must be 0 … 256, not {self.jobs!r}")

    @classmethod
    def create(cls, *, accelerator=True, **options):
        """Make options from flat names: those of this class and those of `Config`.

        `port_bits` and `memory_bits` follow the memory, so they need not be given, there is an inbox, and what is fused
        has real minima.
        ``accelerator=False`` leaves the accelerator out.

        Raises
        ------
        ConfigError
            An unknown name or a value that does not fit.
        """
        shape = {name: options.pop(name) for name in CONFIG_NAMES if options.get(name) is not None}
        known = {field.name for field in fields(cls)}
        for name in options:
            if name not in known:
                raise ConfigError(f"unknown simulation option {name!r}; there are "
                                  f"{', '.join(sorted(known - {'config'} | set(CONFIG_NAMES)))}")
        options = {name: value for name, value in options.items() if value is not None}
        if accelerator and "config" not in options:
            chip = find_memory(options.get("memory", DEFAULT_MEMORY))
            options["config"] = Config(**{"port_bits": chip.port_bits, "memory_bits": chip.port_bits,
                "read_ports": chip.read_ports, "inbox_bytes": INBOX_BYTES, "minima": shape.get("fused", True), **shape})
        elif shape:
            raise ConfigError(f"{', '.join(shape)} given beside config or without an accelerator")
        return cls(**options)

    def build_dict(self):
        """Return what the built program depends on, as plain values (`jobs` it does not)."""
        values = asdict(self)
        values["config"] = None if self.config is None else self.config.to_dict()
        del values["jobs"]
        return values

    @classmethod
    def from_build_dict(cls, values):
        """Invert `build_dict`."""
        config = values["config"]
        return cls(**{**values, "config": None if config is None else Config(**config)})
