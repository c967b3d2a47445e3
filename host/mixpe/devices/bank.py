# SPDX-License-Identifier: BSD-2-Clause
"""The accelerator's registers over a link, and who is there."""

import secrets
import time

from mixpe.devices.finding import find_registers
from mixpe_gateware.contract.digest import VERSION, digest
from mixpe_gateware.contract.errors import ConfigError, ContractError, DeviceError
from mixpe_gateware.contract.fields import of_parts
from mixpe_gateware.contract.identity import config_from_identity, parts_from_identity
from mixpe_gateware.contract.memory_init import FAILED, INIT_OFFSET
from mixpe_gateware.contract.registers import (
    COUNTER_OFFSET,
    IDENTITY,
    OFFSETS,
    OPTIONAL_IDENTITY,
    counters_of,
)

POLL_S_MAX    = 0.005  # between two looks at a device that works
MEM_BYTES_MIN = 4096   # a build with less says nonsense
MARK          = (OFFSETS["scratch"] - OFFSETS["status"])//4  # where a burst from `status` on has the mark
MARK_BITS     = 32


class RegisterBank:
    """Registers by name.

    Parameters
    ----------
    link : mixpe.link.Link
    url : str
        For messages.
    csr_base : int, optional
        Address of the SoC's CSRs where it is none of the usual ones.

    Attributes
    ----------
    url : str
    config : Config
    identity : dict
        Identity registers by name.
    parts : tuple of str
        Optional parts of the contract that the device has.
    breaks : int
        Times that the device was found not to be ours any more.

    Raises
    ------
    NotMixpeError
        No accelerator at any of the places.
    ContractError
        An accelerator, of another contract.
    """

    def __init__(self, link, url, csr_base=None):
        self.link, self.url = link, url
        self.breaks, self._mark = 0, None
        self.base = find_registers(link, url, csr_base)
        self.identity = self._read_identity()
        self._check_contract(url)
        self.parts = parts_from_identity(self.identity)
        for register in of_parts(OPTIONAL_IDENTITY, self.parts):
            self.identity[register.name] = self.read(register.name)
        try:
            self.config = config_from_identity(self.identity)
        except ConfigError as error:
            raise ContractError(f"the device at {url} has an impossible configuration: {error}") from error
        if self.identity["mem_bytes"] < MEM_BYTES_MIN or not self.identity["clock_hz"]:
            raise ContractError(f"the device at {url} says it has {self.identity['mem_bytes']} bytes of memory "
                f"and a clock of {self.identity['clock_hz']} Hz")

    def check_identity(self):
        """See that who answers is who was opened.

        Raises
        ------
        DeviceError
            It says another thing of itself.
        """
        found = self._read_identity()
        for register in of_parts(OPTIONAL_IDENTITY, self.parts):
            found[register.name] = self.read(register.name)
        for name, opened in self.identity.items():
            if found[name] != opened:
                raise DeviceError(f"the device at {self.url} is another than the one that was opened: its register "
                    f"{name} reads 0x{found[name]:x}, and read 0x{opened:x}; close this one and open it again")

    def mark(self):
        """Leave a random word in `scratch`: a device that restarts loses it, a program that opens it leaves its own."""
        self._mark = 1 + secrets.randbelow((1 << MARK_BITS) - 2)
        self.write("scratch", self._mark)

    def check_mark(self, words):
        """See that the device is ours still, by words that were read in one request from `status` on.

        Raises
        ------
        DeviceError
            It was restarted, or opened by another program.
        """
        found = int(words[MARK])
        if self._mark not in (None, found):
            self.breaks += 1
            why = "another program has opened it; close one of the two" if found else \
                "it was restarted, and what its memory held is gone"
            raise DeviceError(f"the device at {self.url} is not as it was left: {why}")

    def read(self, name, count=1):
        """Read count registers from `name` on: an int, or for more than one a list of them."""
        words = self.link.read_words(self.base + OFFSETS[name], count)
        return int(words[0]) if count == 1 else [int(word) for word in words]

    def write(self, name, *values):
        """Write registers from `name` on, in order."""
        self.link.write_words(self.base + OFFSETS[name], list(values))

    def read_counters(self):
        """Low and high words of all counters as of the last latch, in order: list of int."""
        count = 2*len(counters_of(self.parts))
        return [int(word) for word in self.link.read_words(self.base + COUNTER_OFFSET, count)]

    def memory_failed(self):
        """Training by the program of a board with a CPU, or the host's own initialisation, went wrong."""
        words = self.link.read_words(self.base + INIT_OFFSET, len(FAILED))
        return [int(word) for word in words] == FAILED

    def wait(self, mask, wanted, limit_s, text, last="status"):
        """Wait until the bits of `mask` in the status register are `wanted`.

        Returns
        -------
        int
            What the register `last` held then, at `status` or behind it: one request brings both.

        Raises
        ------
        DeviceError
            Not within the limit; the message is `text` and the limit.
        """
        start = None
        count = (OFFSETS[last] - OFFSETS["status"])//4 + 1
        while True:
            words = self.link.read_words(self.base + OFFSETS["status"], count)
            if count > MARK:
                self.check_mark(words)
            if int(words[0]) & mask == wanted:
                return int(words[-1])
            # From the first answer on: it may have waited behind a long upload.
            start    = start or time.monotonic()
            waited_s = time.monotonic() - start
            if waited_s > limit_s:
                raise DeviceError(f"{text} within {limit_s:.3g} s")
            time.sleep(min(POLL_S_MAX, waited_s/8))

    def _read_identity(self):
        """What all builds say about themselves: dict of int."""
        words = self.link.read_words(self.base, len(IDENTITY))
        return {register.name: int(word) for register, word in zip(IDENTITY, words, strict=True)}

    def _check_contract(self, url):
        found = self.identity["digest_low"] | self.identity["digest_high"] << 32
        mine  = digest(parts_from_identity(self.identity))
        if self.identity["version"] != VERSION or found != mine:
            raise ContractError(f"the device at {url} speaks contract version {self.identity['version']} "
                f"({found:016x}), this mixpe speaks version {VERSION} ({mine:016x}): "
                "build its gateware with this mixpe, or install the mixpe that it was built with")
