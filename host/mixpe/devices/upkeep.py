# SPDX-License-Identifier: BSD-2-Clause
"""What lies in a device's memory is looked at: after trouble, on request, and before it is used when that was long ago.

A look has the device compute a checksum. What it finds damaged

    after trouble   was told of by the error that the trouble was: it is put there again without another one
    else            is a `DamageError`, since results of before may be wrong. It is put there again at its next use, and
                    sessions, which may have been filled from it, are read again
"""

import time
from math import inf

from mixpe.devices.resident import Sent
from mixpe.errors import DamageError, RangeError


class Upkeep:
    """The residents of a device.

    Parameters
    ----------
    driver : Driver
    check_s : float or None
        What is used was looked at no longer ago than that; None: whenever it was.
    """

    def __init__(self, driver, check_s=None):
        if check_s is not None and not check_s >= 0:
            raise RangeError(f"check_s must be seconds, 0 or more, or None, not {check_s!r}")
        self.driver, self.check_s = driver, check_s
        self._residents = []

    def add(self, resident):
        """It lies in the memory from now on, whole."""
        resident.settle()
        self._residents.append(resident)

    def remove(self, resident):
        """It does not any more."""
        if resident in self._residents:
            self._residents.remove(resident)

    def before_use(self, residents):
        """Residents are about to be used; those that the host did not send are known to be whole.

        Raises
        ------
        DamageError
            One of them is damaged, and no error has said so.
        """
        for resident in residents:
            if not resident.is_known:
                resident.mend()
        if self.check_s is not None:
            self._look(residents, self.check_s, inf)

    def check(self, older_s=0.0, limit_s=inf):
        """As `Device.check`; those first that were not looked at for longest."""
        for resident in self._residents:
            if not resident.is_known:
                resident.mend()
        return self._look(sorted(self._residents, key=lambda each: each.looked_s), older_s, limit_s)

    def mend(self):
        """Put there again what is damaged: names of it, tuple of str."""
        return tuple(resident.name for resident in self._residents if resident.mend())

    def _look(self, residents, older_s, limit_s):
        start, looked, damaged = time.monotonic(), 0, []
        for resident in residents:
            now = time.monotonic()
            if looked and now - start > limit_s:
                break
            if not resident.is_known or now - resident.looked_s < older_s:
                continue
            looked += sum(size for _, size, _ in resident.parts())
            if resident.damaged():
                damaged.append(resident)
            else:
                resident.settle()
        if damaged:
            self._tell(damaged)
        return looked

    def _tell(self, damaged):
        ago = max(time.monotonic() - each.looked_s for each in damaged)
        for each in damaged:
            each.epoch = None
        if any(isinstance(each, Sent) for each in damaged):
            # What the host did not send was made from what it sent.
            for each in self._residents:
                if not isinstance(each, Sent):
                    each.epoch = None
        names = tuple(each.name for each in damaged)
        raise DamageError(f"the memory of the device {self.driver.url} no longer holds what was put there: "
            f"{', '.join(names)}. Results of the last {ago:,.1f} s may be wrong; the next use puts it there again, or "
            "recover()", names)
