# SPDX-License-Identifier: BSD-2-Clause
"""Linear layers as AWQ stores them, in its GEMM layout.

    qweight  int32 (k, n/8)      code j of word (r, c) is q[8c + ORDER[j], r],  ORDER = 0 2 4 6 1 3 5 7
    qzeros   int32 (k/G, n/8)    z, in the same order; nothing was taken away
    scales   FP16  (k/G, n)      W = s·(q − z)

Source: awq/modules/linear/gemm.py of AutoAWQ.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.gptq import group_of, option
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.words import code_of_each, indices, part, scales_of, widened
from mixpe_gateware.contract.scaling import Form

MARK   = "qweight"
PARTS  = ("qweight", "qzeros", "scales")
PLACES = (0, 4, 1, 5, 2, 6, 3, 7)  # code of a word that belongs to each of its eight outputs


class AwqTensor(GroupedTensor):
    """A linear layer of AWQ; see the module."""

    def __init__(self, module, parts, group_size):
        qweight = part(parts, module, "qweight", ("I32", "U32"), (None, None))
        k, n    = qweight.shape[0], 8*qweight.shape[1]
        if not k or not n:
            raise ModelError(f"{module}.qweight has the shape {qweight.shape}; neither may be 0")
        group_size   = group_size or k
        groups       = -(-k//group_size)
        self._codes  = qweight
        self._zeros  = part(parts, module, "qzeros", ("I32", "U32"), (groups, n//8))
        self._scales = scales_of(parts, module, "scales", (groups, n))
        super().__init__(f"{module}.weight", (n, k), "AWQ 4-bit", sum(array.nbytes for _, array in parts.values()),
            bits=4, group_size=group_size, form=Form.ZERO)

    def stored(self, rows):
        """See `GroupedTensor`."""
        zeros = code_of_each(self._zeros, indices(rows), 4, PLACES)
        return Groups(self._codes_of(rows), widened(self._scales[:, rows]).T, self.group_size, zeros)

    def _codes_of(self, rows):
        if not isinstance(rows, slice):
            return code_of_each(self._codes, rows, 4, PLACES)
        first = rows.start//8  # each word is read once for its eight rows
        words = np.ascontiguousarray(self._codes.view(np.uint32)[:, first:-(-rows.stop//8)].T)
        codes = np.empty((words.shape[0], 8, words.shape[1]), np.uint8)
        for output, place in enumerate(PLACES):
            codes[:, output] = (words >> np.uint32(4*place)) & np.uint32(15)
        return codes.reshape(-1, words.shape[1])[rows.start - 8*first:rows.stop - 8*first]


class AwqScheme:
    """How the layers of one checkpoint are stored; see `GptqScheme`."""

    layout = "AWQ"

    def __init__(self, config, modules):
        bits = option(config, ("bits", "w_bit"))
        if bits != 4 or type(bits) is not int:
            raise ModelError(f"has AWQ weights of {brief(bits)} bits; only 4 are read")
        self._group_size = group_of(config, ("group_size", "q_group_size"), 128)
        for key in ("version", "format", "checkpoint_format", "backend"):
            kind = config.get(key)
            if kind is not None and not (isinstance(kind, str) and kind.lower() in ("gemm", "autoawq", "auto")):
                raise ModelError(f"has AWQ weights in the layout {brief(kind)}; only GEMM is read. GPTQModel writes it "
                                 "from the original model")
        self.notes = []

    def tensor(self, module, parts):
        """The weight of a module; ModelError where its parts do not fit."""
        return AwqTensor(module, parts, self._group_size)
