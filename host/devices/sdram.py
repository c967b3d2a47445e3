# SPDX-License-Identifier: BSD-2-Clause
"""SDR memory initialised over the link: the host plays the commands that a CPU would, then tries a few words.

Each step may be repeated, and the whole may begin anew after it was cut off: the memory is ready when the last write
has come through, and what was in it before is lost.
"""

import time

import numpy as np

from mixpe.gateware.spec.errors import ConfigError, DeviceError
from mixpe.gateware.spec.memory_init import (
    CONTROL_ON,
    CONTROL_SEL,
    DFII_OFFSETS,
    INIT_OFFSET,
    NAMES,
    POWER_UP_S,
    SDR_METHOD,
    sdr_steps,
)

ATTEMPTS = 6  # to get a command across a link that loses packets
PROBE = np.array([0x00000000, 0xFFFFFFFF, 0x55AA33CC, 0xAA55CC33, 0x01234567, 0x89ABCDEF, 0xFEDCBA98, 0x76543210],
                 "<u4")


def init_method(bank):
    """The method that the device asks of the host; None where the memory gets ready without it.

    Parameters
    ----------
    bank : RegisterBank

    Raises
    ------
    DeviceError
        It asks for one that this host does not know.
    """
    word = bank.link.read_word(bank.base + INIT_OFFSET + 4*NAMES.index("init_method"))
    if word & ~0xFF != SDR_METHOD:
        return None
    try:
        sdr_steps(word)
    except ConfigError as error:
        raise DeviceError(f"the device's memory cannot be initialised: {error}") from None
    return word


def initialise_sdr(bank, method):
    """Initialise the device's SDR memory, and see that it holds what is written.

    Parameters
    ----------
    bank : RegisterBank
    method : int
        Of `init_method`.

    Raises
    ------
    DeviceError
        The memory does not hold what is written, or its controller's registers do not.
    LinkError
    """
    link, dfii = bank.link, {name: bank.base + offset for name, offset in DFII_OFFSETS.items()}

    def settle(control, wait_s):
        # Read back first: when that comes, what was written before has arrived.
        found = link.read_word(dfii["control"])
        if found != control:
            raise DeviceError(f"the memory controller's register at 0x{dfii['control']:08x} reads 0x{found:08x} after "
                              f"0x{control:08x} was written: is this another build's SoC, or a bad link?")
        time.sleep(wait_s)

    def issue(step):
        # What issues the command reads as zero. The address behind it, which travels along, shows that it arrived.
        sent = step.address ^ 1
        for _attempt in range(ATTEMPTS):
            link.write_words(dfii["pi0_address"], [step.address, 0])
            link.write_words(dfii["pi0_command"], [step.command, 1, sent, 0], checked=False)
            found = link.read_word(dfii["pi0_address"])
            if found == sent:
                return
        raise DeviceError(f"a command to the memory did not arrive, sent {ATTEMPTS} times: the register at "
                          f"0x{dfii['pi0_address']:08x} reads 0x{found:08x}, not 0x{sent:08x}")

    link.write_words(bank.base + INIT_OFFSET, [0, 0])
    link.write_word(dfii["control"], CONTROL_ON)
    settle(CONTROL_ON, POWER_UP_S)
    for step in sdr_steps(method):
        issue(step)
        settle(CONTROL_ON, step.wait_s)
    link.write_words(bank.base + INIT_OFFSET, [1, 0])
    link.write_word(dfii["control"], CONTROL_ON | CONTROL_SEL)
    settle(CONTROL_ON | CONTROL_SEL, 0)
    _probe(bank)


def _probe(bank):
    """A few words, so that a memory that is not there is named at once."""
    addr = bank.identity["mem_base"]
    bank.link.write_words(addr, PROBE)
    found = bank.link.read_words(addr, len(PROBE))
    wrong = np.flatnonzero(found != PROBE)
    if wrong.size:
        bank.link.write_words(bank.base + INIT_OFFSET, [1, 1])
        index = int(wrong[0])
        raise DeviceError(f"the memory at 0x{addr:08x} was initialised over the link, but does not hold what is "
                          f"written: word {index} is 0x{int(found[index]):08x}, was written 0x{int(PROBE[index]):08x}")
