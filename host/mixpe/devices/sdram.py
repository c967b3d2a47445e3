# SPDX-License-Identifier: BSD-2-Clause
"""SDR memory initialised over the link: the host plays the commands that a CPU would, then tries a few words.

Every write is read back, whatever the link: a mode register that was set wrongly would show only much later. The whole
may begin anew after it was cut off: the memory is ready when the last write has come through. What was in it is lost.
"""

import time
from contextlib import suppress

import numpy as np

from mixpe_gateware.contract.errors import ConfigError, DeviceError, MixpeError
from mixpe_gateware.contract.memory_init import (
    CONTROL_ON,
    CONTROL_SEL,
    DFII_OFFSETS,
    FAILED,
    INIT_OFFSET,
    NAMES,
    POWER_UP_S,
    SDR_METHOD,
    sdr_steps,
)
from mixpe_gateware.contract.registers import STATUS_READY

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
    state = bank.base + INIT_OFFSET
    _put(link, state, [0, 0])
    _put(link, dfii["control"], [CONTROL_ON])
    time.sleep(POWER_UP_S)
    for step in sdr_steps(method):
        _issue(link, dfii, step)
        time.sleep(step.wait_s)
    _put(link, state, [1, 0])
    _put(link, dfii["control"], [CONTROL_ON | CONTROL_SEL])
    try:
        if not bank.read("status") & STATUS_READY:
            raise DeviceError("the memory was initialised over the link, but the device does not say that it is ready: "
                              "is this another build's SoC?")
        _probe(link, bank.identity["mem_base"])
    except BaseException:
        with suppress(MixpeError):  # the next one is not to take it for good
            _put(link, state, FAILED)
        raise


def _put(link, addr, words, seen=None, first=None):
    """Write registers until they read as written, or as `seen`: that too when a link loses or damages some.

    `first` is called before each attempt.
    """
    for _attempt in range(ATTEMPTS):
        if first is not None:
            first()
        link.write_words(addr, words)
        found = [int(word) for word in link.read_words(addr, len(words))]
        if found == (seen or words):
            return
    raise DeviceError(f"the memory controller's registers at 0x{addr:08x} read {_hex(found)} after {_hex(words)} were "
                      f"written, {ATTEMPTS} times: is this another build's SoC, or a bad link?")


def _issue(link, dfii, step):
    """A command to the memory. Its word and its address are there before it is issued.

    What issues it reads as zero. The address behind that, which travels along, then has another value and shows that
    it arrived: a command that did is not sent again.
    """
    sent = step.address ^ 1
    _put(link, dfii["pi0_command"], [step.command])
    _put(link, dfii["pi0_command_issue"], [1, sent, 0], seen=[0, sent, 0],
         first=lambda: _put(link, dfii["pi0_address"], [step.address, 0]))


def _probe(link, addr):
    """A few words, so that a memory that is not there is named at once."""
    for _attempt in range(ATTEMPTS):
        link.write_words(addr, PROBE)
        found = link.read_words(addr, len(PROBE))
        wrong = np.flatnonzero(found != PROBE)
        if not wrong.size:
            return
    index = int(wrong[0])
    raise DeviceError(f"the memory at 0x{addr:08x} was initialised over the link, but does not hold what is written: "
                      f"word {index} is 0x{int(found[index]):08x}, was written 0x{int(PROBE[index]):08x}")


def _hex(words):
    return " ".join(f"0x{word:08x}" for word in words)
