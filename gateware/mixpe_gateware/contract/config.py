# SPDX-License-Identifier: BSD-2-Clause
"""Shape and capacities of one accelerator."""

from dataclasses import asdict, dataclass

from mixpe_gateware.contract.errors import ConfigError

PORT_BITS = (16, 32, 64, 128)        # widths of a LiteDRAM native port that the stream supports
GROUP_SIZES = (32, 64, 128, 256)     # weights that share a scale and a zero point; or k itself
GROUP_MIN = GROUP_SIZES[0]
CHANNELS_PER_BLOCK = 8               # output channels whose scales and zeros travel together in front of their weights
K_LIMIT = 16384                      # longest reduction of one job
N_LIMIT = 65536                      # most output channels of one job
INBOX_LIMIT = 1 << 20                # largest inbox in bytes
PE_KINDS = ("shift-add", "bitplane", "dense")


def _is_power_of_two(value):
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class Config:
    """Parameters of the accelerator; everything else in hardware and driver is derived from them.

    Parameters
    ----------
    rows : int
        R, activation rows that meet each weight: tokens of A8, half as many of A16. a power of two, 1 … 64.
    port_bits : int
        Width of a beat: 16, 32, 64 or 128. It carries `lanes` = port_bits/4 weights.
    memory_bits : int, optional
        Width of the memory controller's port, at most `port_bits` and by default the same. A beat is gathered from
        port_bits/memory_bits of its words: prefill, which replays weights from the buffer, gets the wider array.
    k_max : int
        Activations per row that one on-chip buffer holds (there are two). A power of two, 512 … 16384.
        A job of m rows needs ceil(m/R)·k of them; one that needs more takes both buffers, so that its activations
        cannot arrive while the job before runs. A longer reduction is tiled by the host.
    buffer_beats : int
        Depth of the weight buffer in beats, a power of two. Prefill replays a channel from it: k/lanes must fit.
    queue_depth : int
        Jobs that can be posted before the first result is collected. A power of two, 2 … 64. Two builds everything
        shallow, for FPGAs without LUT RAM: one job at a time is in the stages, and results wait in few registers.
    fused : bool
        Build the per-group scale-accumulate, results as FP32. Partials mode is always there.
    scalers : int
        Scale-accumulate units; rows/scalers results a group must fit in G/lanes cycles to keep the array busy.
    read_ports : int
        Memory ports that the weight stream alternates between, one DRAM row each (1, 2 or 4).
    inbox_bytes : int
        On-chip memory that the host writes activations to, a power of two, 1024 … 1 MiB, or 0: then they pass through
        the memory. Two images of one token's activations let one arrive while the other is used.
    pe : str
        ``"shift-add"`` (as published), ``"bitplane"`` (gates folded into the first adders) or ``"dense"`` (signed
        digits over stored pair sums and differences); equal results.
    """

    rows: int = 8
    port_bits: int = 128
    k_max: int = K_LIMIT
    buffer_beats: int = 1024
    queue_depth: int = 16
    fused: bool = True
    scalers: int = 2
    read_ports: int = 1
    pe: str = "shift-add"
    memory_bits: int | None = None
    inbox_bytes: int = 0

    def __post_init__(self):
        if self.port_bits not in PORT_BITS:
            raise ConfigError(f"port_bits must be one of {PORT_BITS}, not {self.port_bits!r}")
        if self.memory_bits is None:
            object.__setattr__(self, "memory_bits", self.port_bits)
        if self.memory_bits not in PORT_BITS or self.memory_bits > self.port_bits:
            raise ConfigError(f"memory_bits must be one of {PORT_BITS} and at most port_bits={self.port_bits}, "
                              f"not {self.memory_bits!r}")
        if not isinstance(self.rows, int) or not _is_power_of_two(self.rows) or self.rows > 64:
            raise ConfigError(f"rows must be a power of two from 1 to 64, not {self.rows!r}")
        if not _is_power_of_two(self.k_max) or not 512 <= self.k_max <= K_LIMIT:
            raise ConfigError(f"k_max must be a power of two from 512 to {K_LIMIT}, not {self.k_max!r}")
        if not _is_power_of_two(self.buffer_beats) or not 64 <= self.buffer_beats <= 16384:
            raise ConfigError(f"buffer_beats must be a power of two from 64 to 16384, not {self.buffer_beats!r}")
        if not _is_power_of_two(self.queue_depth) or not 2 <= self.queue_depth <= 64:
            raise ConfigError(f"queue_depth must be a power of two from 2 to 64, not {self.queue_depth!r}")
        if not _is_power_of_two(self.scalers) or self.rows % self.scalers:
            raise ConfigError(f"scalers must be a power of two that divides rows={self.rows}, not {self.scalers!r}")
        if self.read_ports not in (1, 2, 4):
            raise ConfigError(f"read_ports must be 1, 2 or 4, not {self.read_ports!r}")
        if self.inbox_bytes and not (_is_power_of_two(self.inbox_bytes) and 1024 <= self.inbox_bytes <= INBOX_LIMIT):
            raise ConfigError(f"inbox_bytes must be 0 or a power of two from 1024 to {INBOX_LIMIT}, "
                              f"not {self.inbox_bytes!r}")
        if self.pe not in PE_KINDS:
            raise ConfigError(f"pe must be one of {PE_KINDS}, not {self.pe!r}")

    @property
    def lanes(self):
        """D, weights of one beat."""
        return self.port_bits//4

    @property
    def beat_bytes(self):
        return self.port_bits//8

    @property
    def words_per_beat(self):
        """Words of the memory's port in a beat."""
        return self.port_bits//self.memory_bits

    @property
    def is_shallow(self):
        """Whether FIFOs are to be as small as they can be."""
        return self.queue_depth == 2

    @property
    def inbox_bits(self):
        """Address bits that the inbox behind the memory adds: 1 or 0."""
        return 1 if self.inbox_bytes else 0

    @property
    def act_words(self):
        """Depth of one activation buffer, in words of D activations a row."""
        return self.k_max//self.lanes

    @property
    def groups_max(self):
        """Most (tile, group) pairs of one job: entries of the row-sum and scale memories."""
        return self.k_max//GROUP_MIN

    @property
    def name(self):
        """Short name for files and reports, for instance ``8x32``."""
        return f"{self.rows}x{self.lanes}"

    def to_dict(self):
        return asdict(self)
