# SPDX-License-Identifier: BSD-2-Clause
"""A device's memory as a program sees it: all of it can be read, what is written stays in the session's."""

import numpy as np


class SessionMemory:
    """Bytes of a device, of which one region may be written.

    Parameters
    ----------
    data : (mem_bytes,) uint8
    start, size : int
        The session's region, whole beats within the memory.
    written : callable, optional
        Called with offset and size of what is written.
    """

    def __init__(self, data, start, size, written=None):
        self._data    = data
        self._start   = start
        self._end     = start + size
        self._written = written

    @property
    def size(self):
        """Of the whole memory, in bytes."""
        return len(self._data)

    def array(self, address, dtype, shape):
        """Numbers at an address as an array of their own."""
        size = np.dtype(dtype).itemsize*int(np.prod(shape))
        return self._data[address:address + size].view(np.dtype(dtype).newbyteorder("<")).reshape(shape).copy()

    def write(self, address, array):
        """Write an array's bytes, but for those outside of the session's region.

        Returns
        -------
        bool
            Whether there were none.
        """
        array = np.ascontiguousarray(array)
        raw   = array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8)
        first, last = max(address, self._start), min(address + raw.size, self._end)
        if first < last:
            self._data[first:last] = raw[first - address:last - address]
            if self._written is not None:
                self._written(first, last - first)
        return self._start <= address and address + raw.size <= self._end
