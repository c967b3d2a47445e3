# SPDX-License-Identifier: BSD-2-Clause
"""The memory of one session: what a token passes through, its keys and values, and ids of tokens."""

import numpy as np

from mixpe.devices.resident import Resident
from mixpe.devices.turns import in_turn


def read_bytes(driver, offset, size):
    """Bytes of a device's memory, wherever they begin: (size,) uint8."""
    beat  = driver.config.beat_bytes
    first = offset//beat*beat
    whole = -(-(offset + size - first)//beat)*beat
    return driver.transfer.download(first, whole, driver.verify == "all")[offset - first:offset - first + size]


class SessionRegion(Resident):
    """Made by `DeviceProgram.open_session`. The device fills it, so after damage its tokens have to be read again.

    Attributes
    ----------
    turn : RLock
        The device's.
    state_addr, tokens_addr : int
        Offsets in the device's memory.
    places : list of (offset, size)
        All of it, in whole beats.

    Raises
    ------
    DeviceMemoryError
        There is no room for one more.
    """

    def __init__(self, program):
        super().__init__(program.driver, "a session's keys and values")
        self.program = program
        self.turn    = program.driver.turn
        self._seal   = []
        self._place()

    @in_turn
    def _place(self):
        driver, session = self.driver, self.program.program.session
        size = 4*(self.program.program.context + 1)
        self.state_addr = driver.memory.allocate(session.size)
        try:
            self.tokens_addr = driver.memory.allocate(size)
            try:
                self.clear()
            except BaseException:
                driver.memory.free(self.tokens_addr)
                raise
        except BaseException:
            driver.memory.free(self.state_addr)
            raise
        beat = driver.config.beat_bytes
        self.places = [(self.state_addr, session.size), (self.tokens_addr, -(-size//beat)*beat)]
        driver.upkeep.add(self)

    def clear(self):
        """Make it what it was before the first token."""
        zeros = np.zeros(self.program.program.session.zero_bytes, np.uint8)
        self._seal = []
        self.driver.transfer.upload(self.state_addr, zeros, self.driver.verify != "none")

    def seal(self):
        """Have the device compute the checksum of what it holds now, where looks are asked for."""
        self._seal = []
        if self.driver.upkeep.check_s is not None:
            size = self.program.program.session.size
            self._seal = [(self.state_addr, size, self.driver.checksum(self.state_addr, size))]
        self.settle()

    def parts(self):
        return self._seal

    @in_turn
    def tokens(self, first, count):
        """Ids that a run wrote: list of int."""
        return read_bytes(self.driver, self.tokens_addr + 4*first, 4*count).view("<u4").tolist() if count else []

    def top(self):
        """The largest logits of the last pass, of a run that listed them.

        Returns
        -------
        tokens : (64 or fewer,) int64
        logits : (64 or fewer,) float32
            Falling.
        """
        pairs = self.read("top").view("<u4").reshape(-1, 2)
        return pairs[:, 0].astype(np.int64), np.ascontiguousarray(pairs[:, 1]).view(np.float32)

    @in_turn
    def read(self, name):
        """A buffer's bytes: (size,) uint8."""
        place = self.program.program.session[name]
        return read_bytes(self.driver, self.state_addr + place.offset, place.size)

    @in_turn
    def free(self):
        """Give the memory back."""
        self.driver.upkeep.remove(self)
        for addr in (self.state_addr, self.tokens_addr):
            self.driver.memory.free(addr)
