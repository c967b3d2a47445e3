# SPDX-License-Identifier: BSD-2-Clause
"""The memories that the simulated SoC can have."""

from dataclasses import dataclass

from mixpe.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A DRAM chip as LiteDRAM knows it, and the clock it runs at.

    Parameters
    ----------
    module : str
        Class of ``litedram.modules``.
    rate : str
        Controller clock : memory clock, ``"1:1"``, ``"1:2"`` or ``"1:4"``.
    data_bits : int
        Width of the chip's data bus.
    clk_hz : int
        Clock of controller and SoC.
    port_bits : int
        Width of LiteDRAM's native port.
    size_bytes : int
    read_ports : int
        Ports that the weight stream takes turns on, if nothing else is said: DDR3 opens the next row meanwhile.
    """

    module: str
    rate: str
    data_bits: int
    clk_hz: int
    port_bits: int
    size_bytes: int
    read_ports: int = 1


MEMORIES = {
    "sdr":    Memory(module="MT48LC16M16", rate="1:1", data_bits=16, clk_hz=100_000_000, port_bits=16,
                     size_bytes=32 << 20),
    "sdr32":  Memory(module="MT48LC16M16", rate="1:1", data_bits=32, clk_hz=100_000_000, port_bits=32,
                     size_bytes=64 << 20),
    "sdr133": Memory(module="AS4C32M16", rate="1:1", data_bits=16, clk_hz=133_333_333, port_bits=16,
                     size_bytes=64 << 20),
    "ddr3":   Memory(module="MT41K128M16", rate="1:4", data_bits=16, clk_hz=100_000_000, port_bits=128,
                     size_bytes=256 << 20, read_ports=4),
    # As ECP5 boards have it: a beat takes two cycles of the memory's pins. Even picoseconds, which the simulator needs.
    "ddr3half": Memory(module="MT41K256M16", rate="1:2", data_bits=16, clk_hz=74_996_000, port_bits=128,
                       size_bytes=512 << 20),
}
DEFAULT_MEMORY = "ddr3"


def find_memory(name):
    """Return the `Memory` of that name.

    Raises
    ------
    ConfigError
        No such memory; the message lists the names.
    """
    if name not in MEMORIES:
        raise ConfigError(f"memory must be one of {', '.join(MEMORIES)}, not {name!r}")
    return MEMORIES[name]
