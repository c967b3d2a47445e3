# SPDX-License-Identifier: BSD-2-Clause
"""Something in a device's memory that is to stay as it was put there."""

import time
from abc import ABC, abstractmethod


class Resident(ABC):
    """Known by its checksums, so that the device itself can say whether it still is what it was.

    Parameters
    ----------
    driver : Driver
    name : str
        For messages.

    Attributes
    ----------
    epoch : int or None
        Recoveries of the device when it was last known to be whole; None where it is known not to be.
    looked_s : float
        When that was, by `time.monotonic`.
    """

    def __init__(self, driver, name):
        self.driver, self.name = driver, name
        self.epoch    = None
        self.looked_s = 0.0

    @abstractmethod
    def parts(self):
        """What lies where: list of (offset, size, CRC-32), whole beats."""

    @property
    def is_known(self):
        """Nothing has happened on the device since it was known to be whole."""
        return self.epoch == self.driver.epoch

    def settle(self):
        """It is known to be whole, now."""
        self.epoch, self.looked_s = self.driver.epoch, time.monotonic()

    def damaged(self):
        """Parts that are not what they were, by the device's checksums: list of int."""
        return [index for index, (offset, size, crc) in enumerate(self.parts())
                if self.driver.checksum(offset, size) != crc]

    def mend(self):
        """Put there again what is not what it was, where the host has it; True where there was something."""
        return False


class Sent(Resident):
    """What the host sent, and can send again."""

    @abstractmethod
    def send_again(self, indices):
        """Put parts there again, as they were."""

    def mend(self):
        damaged = self.damaged()
        if damaged:
            self.send_again(damaged)
        self.settle()
        return bool(damaged)
