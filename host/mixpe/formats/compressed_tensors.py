# SPDX-License-Identifier: BSD-2-Clause
"""Linear layers as compressed-tensors stores them in its format "pack-quantized".

    weight_packed      int32 (n, ⌈k/8⌉)      code j of word (r, c) is q[r, 8c + j]: the signed number + 8
    weight_scale       (n, k/G)              in the model's dtype, often BF16; (n, 1) or (1) for whole channels or all
    weight_zero_point  int32 (⌈n/8⌉, k/G)    code j of word (r, g) belongs to output 8r + j; absent: z = 8;
                                             in older files int8 (n, k/G), signed; for all of a tensor int8 (1)
    weight_shape       int64 (2)             n and k
    weight_g_idx       int32 (k)             group of each column, in older files

W = s·(q − z). With 8 bits there are four codes a word and 128 stands for 8.

Source: compressed_tensors/compressors/quantized_compressors/pack_quantized.py of vllm-project/compressed-tensors.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.words import code_of_each, column_order, indices, part, scales_of, whole_words, widened
from mixpe_gateware.contract.scaling import Form

MARK  = "weight_packed"
PARTS = ("weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx")


class PackedTensor(GroupedTensor):
    """A linear layer of compressed-tensors; see the module. `schemes` are the pairs (bits, group size) that may be."""

    def __init__(self, module, parts, schemes):
        shape = part(parts, module, "weight_shape", ("I64", "I32"), (2,))
        n, k  = (int(size) for size in shape)
        words = part(parts, module, "weight_packed", ("I32", "U32"), (None, None))
        scale = scales_of(parts, module, "weight_scale", None)
        if n < 1 or k < 1 or words.shape[0] != n:
            raise ModelError(f"{module}.weight_shape is ({n}, {k}), its weight_packed {words.shape}")
        one = scale.size == 1
        if one:
            scale = np.broadcast_to(scale.reshape(1, 1), (n, 1))
        fitting = {(bits, group_size or k) for bits, group_size in schemes if words.shape[1] == -(-k*bits//32)
                   and scale.shape == (n, -(-k//(group_size or k)))}
        if len(fitting) != 1:
            raise ModelError(f"{module} has weight_packed {words.shape} and weight_scale {scale.shape} for ({n}, {k}); "
                             f"{'none' if not fitting else 'more than one'} of the configuration's groups fits")
        (bits, group_size), = fitting
        groups       = scale.shape[1]
        self._words  = words
        self._scale  = scale
        self._zeros  = None
        if "weight_zero_point" in parts:
            dtype, zeros = parts["weight_zero_point"]
            if dtype == "I8" and zeros.size == 1 and one:
                parts = parts | {"weight_zero_point": (dtype, np.broadcast_to(zeros.reshape(1, 1), (n, 1)))}
            self._zeros = part(parts, module, "weight_zero_point", ("I32", "U32", "I8"),
                (n if dtype == "I8" else -(-n*bits//32), groups))
        order = None
        if "weight_g_idx" in parts:
            g_idx = part(parts, module, "weight_g_idx", ("I32", "I64"), (k,))
            if not (g_idx == -1).all():  # all −1: never set
                order = column_order(g_idx, group_size, module)
        super().__init__(f"{module}.weight", (n, k), f"compressed-tensors {bits}-bit",
            sum(array.nbytes for _, array in parts.values()), bits=bits, group_size=group_size, form=Form.ZERO,
            permutation=order)

    def stored(self, rows):
        """See `GroupedTensor`."""
        codes = whole_words(self._words[rows], self.bits)[:, :self.shape[1]]
        if self.permutation is not None:
            codes = codes[:, self.permutation]
        scales = widened(self._scale[rows])
        if self._zeros is None:
            zeros = np.full(scales.shape, 1 << (self.bits - 1), np.uint8)
        elif self._zeros.dtype == np.int8:
            zeros = self._signed_zeros(rows)
        else:
            zeros = code_of_each(self._zeros.T, indices(rows), self.bits)
        return Groups(codes, scales, self.group_size, zeros)

    def _signed_zeros(self, rows):
        zeros = self._zeros[rows].astype(np.int16) + (1 << (self.bits - 1))
        if zeros.size and (zeros.min() < 0 or zeros.max() >= 1 << self.bits):
            raise ModelError(f"{self.name} has zero points outside {self.bits} bits")
        return zeros.astype(np.uint8)


class PackedScheme:
    """How the layers of one checkpoint are stored; see `GptqScheme`."""

    layout = "compressed-tensors"

    def __init__(self, config, modules):
        self.notes = []
        if config.get("format") != "pack-quantized":
            raise ModelError(f"has compressed-tensors of the format {brief(config.get('format'))}; only pack-quantized "
                             "is read")
        for key in ("transform_config", "sparsity_config"):
            value = config.get(key)
            if value and not (isinstance(value, dict) and value.get("format") in ("dense",)):
                raise ModelError(f"has a {key}, which is not supported")
        groups = config.get("config_groups")
        if not isinstance(groups, dict) or not groups:
            raise ModelError(f"has config_groups = {brief(groups)}; it must be an object with a group or more")
        self._schemes = [self._scheme(name, group) for name, group in groups.items()]

    def _scheme(self, name, group):
        weights = group.get("weights") if isinstance(group, dict) else None
        if not isinstance(weights, dict):
            raise ModelError(f"has no weights in the config_group {brief(name)}")
        bits, kind, strategy = (weights.get(key) for key in ("num_bits", "type", "strategy"))
        if bits not in (4, 8) or type(bits) is not int or kind not in ("int", None):
            raise ModelError(f"has weights of {brief(bits)} bits, type {brief(kind)}; int of 4 or 8 bits is read")
        size = weights.get("group_size")
        if strategy is None:
            strategy = "group" if size not in (None, -1) else "channel"
        if strategy in ("channel", "tensor"):
            return bits, None
        if strategy != "group":
            raise ModelError(f"has the strategy {brief(strategy)}; group, channel and tensor are read")
        if type(size) is not int or size != -1 and not 0 < size < 1 << 31:
            raise ModelError(f"has the group size {brief(size)}; it must be a whole number from 1, or -1")
        return bits, None if size == -1 else size

    def tensor(self, module, parts):
        """The weight of a module; ModelError where its parts do not fit."""
        return PackedTensor(module, parts, self._schemes)
