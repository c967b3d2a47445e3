# SPDX-License-Identifier: BSD-2-Clause
"""Who owns which bytes of the device's memory.

Weights stay and are taken from the bottom; buffers come and go and are taken from the top, so that they do not cut
the space for weights into pieces.
"""

from mixpe.plan.cut import ALIGN_BYTES
from mixpe.terminal import size_text
from mixpe_gateware.contract.errors import DeviceMemoryError


class Allocator:
    """First-fit allocation of aligned regions.

    Parameters
    ----------
    total_bytes : int
        Size of the memory. The last bytes are left out if they are no whole unit.
    """

    def __init__(self, total_bytes):
        self.total_bytes = total_bytes//ALIGN_BYTES*ALIGN_BYTES
        self._free = [(0, self.total_bytes)]  # (start, end), in order, never touching each other
        self._used = {}                       # start → size

    def copy(self):
        """One with the same regions, to try what would find a place."""
        other = Allocator(self.total_bytes)
        other._free, other._used = list(self._free), dict(self._used)
        return other

    @property
    def free_bytes(self):
        return sum(end - start for start, end in self._free)

    @property
    def largest_bytes(self):
        """Size of the largest free region."""
        return max((end - start for start, end in self._free), default=0)

    def allocate(self, size, *, top=False):
        """Take size bytes; return their offset.

        Raises
        ------
        DeviceMemoryError
            No free region is large enough.
        """
        wanted = max(ALIGN_BYTES, -(-size//ALIGN_BYTES)*ALIGN_BYTES)
        order = reversed(range(len(self._free))) if top else range(len(self._free))
        for index in order:
            start, end = self._free[index]
            if end - start < wanted:
                continue
            if top:
                offset, rest = end - wanted, (start, end - wanted)
            else:
                offset, rest = start, (start + wanted, end)
            self._free[index:index + 1] = [rest] if rest[0] < rest[1] else []
            self._used[offset] = wanted
            return offset
        raise DeviceMemoryError(f"{size_text(wanted)} do not fit the device's memory of {size_text(self.total_bytes)}: "
            f"{size_text(self.free_bytes)} free, the largest piece {size_text(self.largest_bytes)}; "
            "free layers that are not used")

    def allocate_each(self, size, count):
        """Take size bytes some times, at the top; return the offsets. All or none, with the error of `allocate`."""
        found = []
        try:
            while len(found) < count:
                found.append(self.allocate(size, top=True))
        except DeviceMemoryError:
            for offset in found:
                self.free(offset)
            raise
        return found

    def free(self, offset):
        """Give back a region."""
        size = self._used.pop(offset)
        regions = sorted([*self._free, (offset, offset + size)])
        merged = [regions[0]]
        for start, end in regions[1:]:
            if start == merged[-1][1]:
                merged[-1] = merged[-1][0], end
            else:
                merged.append((start, end))
        self._free = merged


class Region:
    """A region of a memory that is shared out again: allocates as `Allocator` does, at the memory's offsets.

    Parameters
    ----------
    memory : Allocator
    size : int

    Raises
    ------
    DeviceMemoryError
        There is no room for it.
    """

    def __init__(self, memory, size):
        self.size    = size
        self._memory = memory
        self._start  = memory.allocate(size)
        self._inside = Allocator(size)

    def allocate(self, size):
        """Take size bytes; return their offset in the memory.

        Raises
        ------
        DeviceMemoryError
        """
        return self._start + self._inside.allocate(size)

    def free(self, offset):
        """Give back what `allocate` gave."""
        self._inside.free(offset - self._start)

    def close(self):
        """Give the region back to the memory. A second call does nothing."""
        start, self._start = self._start, None
        if start is not None:
            self._memory.free(start)


class ActivationSpace:
    """Where activations of jobs lie: in the inbox where it has room, else in the memory.

    Parameters
    ----------
    memory, inbox : Allocator
    inbox_start : int
        Offset of the inbox's first byte for the transfer and for jobs: the size of the memory.
    """

    def __init__(self, memory, inbox, inbox_start):
        self._memory, self._inbox, self._inbox_start = memory, inbox, inbox_start

    def allocate(self, size):
        """Take size bytes; return their offset for the transfer and for jobs.

        Raises
        ------
        DeviceMemoryError
            There is room in neither.
        """
        if size <= self._inbox.largest_bytes:
            return self._inbox_start + self._inbox.allocate(size)
        return self._memory.allocate(size, top=True)

    def free(self, offset):
        """Give back what `allocate` gave."""
        if offset >= self._inbox_start:
            self._inbox.free(offset - self._inbox_start)
        else:
            self._memory.free(offset)
