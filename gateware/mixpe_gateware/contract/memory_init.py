# SPDX-License-Identifier: BSD-2-Clause
"""How a device's memory gets ready, and who sees to that.

Registers of one word in CSR banks beside the accelerator's. They are no part of the contract: a SoC whose memory gets
ready by itself has nothing there, which reads neither as FAILED nor as a method.

Memories that have to be trained: LiteX's BIOS does it and writes `init_done` and `init_error`. SDR memories: the host
plays the commands of `sdr_steps` over the link, through LiteDRAM's DFII registers, and writes them then.
"""

from dataclasses import dataclass

from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.registers import CSR_BANK, CSR_PAGE_BYTES

INIT_BANK   = CSR_BANK + 3
INIT_OFFSET = (INIT_BANK - CSR_BANK)*CSR_PAGE_BYTES       # from the accelerator's registers
NAMES       = ("init_done", "init_error", "init_method")  # of the registers, in their order; the last where one is said
FAILED      = [1, 1]                                      # what the first two read when the memory failed

# `init_method` where the host is to play an SDR memory's sequence: SDR_METHOD | burst length << 4 | CAS latency.
SDR_METHOD  = 0x53445200  # "SDR"

# LiteDRAM's DFII registers of phase 0, in their order.
DFII_BANK     = CSR_BANK + 4
DFII_OFFSET   = (DFII_BANK - CSR_BANK)*CSR_PAGE_BYTES
DFII          = ("control", "pi0_command", "pi0_command_issue", "pi0_address", "pi0_baddress")
DFII_OFFSETS  = {name: DFII_OFFSET + 4*index for index, name in enumerate(DFII)}
CONTROL_SEL   = 1 << 0  # the controller drives the memory, not these registers
CONTROL_CKE   = 1 << 1
CONTROL_ODT   = 1 << 2
CONTROL_RESET_N = 1 << 3
COMMAND_CS    = 1 << 0
COMMAND_WE    = 1 << 1
COMMAND_CAS   = 1 << 2
COMMAND_RAS   = 1 << 3

CONTROL_ON     = CONTROL_CKE | CONTROL_ODT | CONTROL_RESET_N
PRECHARGE      = COMMAND_CS | COMMAND_RAS | COMMAND_WE
REFRESH        = COMMAND_CS | COMMAND_RAS | COMMAND_CAS
MODE_REGISTER  = COMMAND_CS | COMMAND_RAS | COMMAND_CAS | COMMAND_WE
ALL_BANKS      = 1 << 10
RESET_DLL      = 1 << 8

POWER_UP_S = 200e-6  # from CKE to the first command
MODE_S     = 2e-6
REFRESH_S  = 1e-6    # more than any tRFC or tRP


@dataclass(frozen=True)
class SdrStep:
    """A command to the memory, and the time to wait after it."""

    command: int
    address: int
    wait_s: float


def sdr_method(cas_latency, burst):
    """What `init_method` reads.

    Raises
    ------
    ConfigError
    """
    if cas_latency not in (2, 3) or burst not in (1, 2, 4, 8):
        raise ConfigError(f"an SDR memory has a CAS latency of 2 or 3 and bursts of 1, 2, 4 or 8, not {cas_latency!r} "
                          f"and {burst!r}")
    return SDR_METHOD | burst << 4 | cas_latency


def sdr_steps(method):
    """Commands that initialise an SDR memory once its clock enable is high for POWER_UP_S, those of LiteDRAM.

    Parameters
    ----------
    method : int
        Of `sdr_method`.

    Returns
    -------
    list of SdrStep

    Raises
    ------
    ConfigError
        No method of SDR memories.
    """
    cas_latency, burst = method & 15, method >> 4 & 15
    if method != sdr_method(cas_latency, burst):
        raise ConfigError(f"0x{method:08x} is no method of initialising SDR memory")
    mode = burst.bit_length() - 1 | cas_latency << 4
    return [
        SdrStep(PRECHARGE,     ALL_BANKS,        REFRESH_S),
        SdrStep(MODE_REGISTER, mode | RESET_DLL, MODE_S),
        SdrStep(PRECHARGE,     ALL_BANKS,        REFRESH_S),
        SdrStep(REFRESH,       0,                REFRESH_S),
        SdrStep(REFRESH,       0,                REFRESH_S),
        SdrStep(MODE_REGISTER, mode,             MODE_S),
    ]
