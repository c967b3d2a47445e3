# SPDX-License-Identifier: BSD-2-Clause
"""The memory of a board, as fields."""

from dataclasses import dataclass

from mixpe.errors import ConfigError

MEMORY_KINDS = {"sdr": "SDR", "ddr3": "DDR3", "spram": "SPRAM"}
SIZES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The memory on a board.

    Parameters
    ----------
    kind : str
        One of `MEMORY_KINDS`.
    size_bytes : int
    data_bits : int
        Width of its data bus.
    ratio : int
        Cycles of the memory's clock in one of the system's.
    place : str
        Where it is, if not beside the FPGA.
    """

    kind: str
    size_bytes: int
    data_bits: int
    ratio: int = 1
    place: str = ""

    def __post_init__(self):
        if self.kind not in MEMORY_KINDS:
            raise ConfigError(f"kind must be one of {', '.join(MEMORY_KINDS)}, not {self.kind!r}")
        if self.ratio not in (1, 2, 4):
            raise ConfigError(f"ratio must be 1, 2 or 4, not {self.ratio!r}")
        if self.size_bytes < 1 << 10 or self.size_bytes & (self.size_bytes - 1):
            raise ConfigError(f"size_bytes must be a power of two of at least 1024, not {self.size_bytes!r}")

    def mbps(self, clock_hz):
        """Peak of its pins in MB/s at a system clock."""
        return self.data_bits//8*self.ratio*(2 if self.kind == "ddr3" else 1)*clock_hz/1e6

    @property
    def text(self):
        """For people: ``32 MiB SDR x16``."""
        unit, size = next((unit, size) for unit, size in SIZES if self.size_bytes >= size)
        words = [f"{self.size_bytes//size} {unit} {MEMORY_KINDS[self.kind]}"]
        if self.kind != "spram":
            words.append(f"x{self.data_bits}")
        return " ".join(words) + (f", {self.place}" if self.place else "")
