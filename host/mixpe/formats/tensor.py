# SPDX-License-Identifier: BSD-2-Clause
"""One tensor of a checkpoint, as every reader gives it: where it lies, what it can be on a device, its float32 values.

A tensor holds no weights of its own. They stay in the mapped file, and each call decodes the rows it is asked for.
"""

from abc import ABC, abstractmethod

import numpy as np

from mixpe.errors import ModelError

BLOCK_BYTES = 1 << 20  # float32 worked on at a time: decoded rows and their temporaries stay in the cache


class Tensor(ABC):
    """A weight, embedding, norm or bias.

    Parameters
    ----------
    name : str
        In its file, for messages.
    shape : tuple of int
        Linear layers and embeddings are (n, k) with n outputs, norms and biases (n,).
    layout : str
        How it is stored: "F16", "Q4_K", "GPTQ 4-bit" …
    nbytes : int
        That it has in its file.

    Attributes
    ----------
    form : contract.scaling.Form or None
        What a device must have to compute with the stored numbers themselves. None: floats, or what no device has.
    """

    form = None

    def __init__(self, name, shape, layout, nbytes):
        self.name   = name
        self.shape  = tuple(shape)
        self.layout = layout
        self.nbytes = nbytes

    def __repr__(self):
        return f"<{self.name} {self.shape} {self.layout}>"

    @abstractmethod
    def values(self, rows):
        """Decode rows (a slice with step 1, or an index array): (rows, …) float32, without any check."""

    def dequantize(self, rows=None):
        """The weights as float32: each is its real value, rounded once.

        Parameters
        ----------
        rows : slice or (r,) integers, optional
            Which; the default is all of them.

        Returns
        -------
        (rows, …) float32

        Raises
        ------
        ModelError
            A value is not finite.
        IndexError
            A row that the tensor does not have.
        """
        rows   = self._chosen(rows)
        count  = len(rows) if isinstance(rows, np.ndarray) else rows.stop - rows.start
        result = np.empty((count, *self.shape[1:]), np.float32)
        for block in self.spans(count):
            if isinstance(rows, np.ndarray):
                chosen = rows[block]
            else:
                chosen = slice(rows.start + block.start, rows.start + block.stop)
            values = self.values(chosen)
            if values.size and not (np.isfinite(values.max()) and np.isfinite(values.min())):
                raise ModelError(f"{self.name} has values that are not finite")
            result[block] = values
        return result

    def spans(self, count=None):
        """Slices that cover rows 0 … count, each of about `BLOCK_BYTES` of float32."""
        count = self.shape[0] if count is None else count
        width = 4*int(np.prod(self.shape[1:], dtype=np.int64))
        step  = max(8, BLOCK_BYTES//max(1, width)//8*8)  # a multiple of 8: rows that share a word stay together
        for start in range(0, count, step):
            yield slice(start, min(count, start + step))

    def _chosen(self, rows):
        n = self.shape[0]
        if rows is None:
            return slice(0, n)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(n)
            return slice(start, max(start, stop)) if step == 1 else np.arange(start, stop, step)
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise IndexError(f"rows must be a slice or integers on one axis, not {rows.dtype} {rows.shape}")
        if rows.size and not (0 <= rows.min() and rows.max() < n):
            raise IndexError(f"{self.name} has the rows 0 … {n - 1}, not {rows.min()} … {rows.max()}")
        return rows.astype(np.intp)


class FloatTensor(Tensor):
    """A tensor of F64, F32, F16 or BF16.

    Parameters
    ----------
    name, layout : str
        See `Tensor`; BF16, which numpy lacks, is told by its layout.
    data : array
        Of the file's mapping; BF16 as uint16.
    order : (n,) integers, optional
        Row i is row order[i] of `data`.
    """

    def __init__(self, name, layout, data, order=None):
        super().__init__(name, data.shape, layout, data.nbytes)
        self._data  = data
        self._order = order

    def transposed(self):
        """The same numbers with rows and columns exchanged, for a matrix without an order of its own."""
        return FloatTensor(self.name, self.layout, self._data.T)

    def stored(self, rows):
        """Rows as they are stored, BF16 as uint16."""
        return self._data[rows if self._order is None else self._order[rows]]

    def values(self, rows):
        """See `Tensor`."""
        data = self.stored(rows)
        if self.layout == "BF16":
            return (data.astype(np.uint32) << np.uint32(16)).view(np.float32)
        with np.errstate(over="ignore"):  # an F64 beyond float32 becomes Inf, which `dequantize` refuses
            return data.astype(np.float32)
