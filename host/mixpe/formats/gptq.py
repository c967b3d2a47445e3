# SPDX-License-Identifier: BSD-2-Clause
"""Linear layers as GPTQ stores them: AutoGPTQ, GPTQModel and what follows them.

    qweight  int32 (k/8, n)       code j of word (r, c) is q[c, 8r + j]            (8 bits: four codes a word)
    qzeros   int32 (k/G, n/8)     code j of word (g, c) belongs to output 8c + j
    scales   FP16  (k/G, n)       W[c, i] = s·(q − z) of group g_idx[i]
    g_idx    int32 (k)            group of each column; not i // G where the columns were quantised in another order

**Zeros.** A file of format "gptq_v2" has z, one of "gptq" or without a format z − 1. How the 1 was taken away differs:
GPTQModel subtracts from whole words, so a zero of 0 borrows from its neighbour, and only adding to whole words gives
the zeros back. AutoGPTQ lets z − 1 = −1 fill all higher codes of its word with ones: those zeros are lost, and every
reader takes code + 1 within its bits. The two differ only where a code has all ones. Some writers store z and say
"gptq": known where the zeros must be in the middle (sym) and are.

Sources: convert_gptq_v2_to_v1_format_module of GPTQModel; qlinear_cuda_old of AutoGPTQ.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.brief import brief
from mixpe.formats.groups import GroupedTensor, Groups
from mixpe.formats.words import code_of_each, column_order, indices, part, scales_of, whole_words, widened
from mixpe_gateware.contract.scaling import Form

MARK  = "qweight"  # a module that has it is quantised
PARTS = ("qweight", "qzeros", "scales", "g_idx")
_ONES = {4: 0x11111111, 8: 0x01010101}  # 1 in every code of a word


def option(config, names, default=None):
    """The first of some keys that a configuration has."""
    for name in names:
        if config.get(name) is not None:
            return config[name]
    return default


def group_of(config, names, default):
    """The group size: a whole number from 1, or −1 (all of k), which becomes None.

    Raises
    ------
    ModelError
    """
    size = option(config, names, default)
    if type(size) is not int or size != -1 and not 0 < size < 1 << 31:
        raise ModelError(f"has the group size {brief(size)}; it must be a whole number from 1, or -1")
    return None if size == -1 else size


class GptqTensor(GroupedTensor):
    """A linear layer of GPTQ; see the module. `zeros` is "v2", "v1 by word" or "v1 by code"."""

    def __init__(self, module, parts, bits, group_size, zeros):
        count   = 32//bits
        qweight = part(parts, module, "qweight", ("I32", "U32"), (None, None))
        k, n    = count*qweight.shape[0], qweight.shape[1]
        if not k or not n or n % count:
            raise ModelError(f"{module}.qweight has the shape {qweight.shape}; neither may be 0, and {count} must "
                             "divide the second")
        group_size   = group_size or k
        groups       = -(-k//group_size)
        self._codes  = qweight
        self._zeros  = part(parts, module, "qzeros", ("I32", "U32"), (groups, n//count))
        self._scales = scales_of(parts, module, "scales", (groups, n))
        self._kind   = zeros
        order = None
        if "g_idx" in parts:
            order = column_order(part(parts, module, "g_idx", ("I32", "I64"), (k,)), group_size, module)
        super().__init__(f"{module}.weight", (n, k), f"GPTQ {bits}-bit",
            sum(array.nbytes for _, array in parts.values()), bits=bits, group_size=group_size, form=Form.ZERO,
            permutation=order)

    def stored(self, rows):
        """See `GroupedTensor`."""
        codes = whole_words(self._codes[:, rows].T, self.bits)
        if self.permutation is not None:
            codes = codes[:, self.permutation]
        return Groups(codes, widened(self._scales[:, rows]).T, self.group_size, self._zeros_of(indices(rows)))

    def _zeros_of(self, rows):
        words = self._zeros.view(np.uint32)
        if self._kind == "v1 by word":
            words = words + np.uint32(_ONES[self.bits])  # wraps, as the writer's borrow did
        zeros = code_of_each(words, rows, self.bits)
        return (zeros + np.uint8(1)) & np.uint8((1 << self.bits) - 1) if self._kind == "v1 by code" else zeros


class GptqScheme:
    """How the layers of one checkpoint are stored.

    Parameters
    ----------
    config : dict
        Its quantization_config, or quantize_config.json.
    modules : dict of name → parts
        Every quantised module; their zeros say what the configuration may have wrong.

    Attributes
    ----------
    notes : list of str

    Raises
    ------
    ModelError
        Another number of bits, another layout, options of single modules.
    """

    layout = "GPTQ"

    def __init__(self, config, modules):
        self._bits = option(config, ("bits",))
        if type(self._bits) is not int or self._bits not in _ONES:
            raise ModelError(f"has GPTQ weights of {brief(self._bits)} bits; 4 and 8 are read")
        self._group_size = group_of(config, ("group_size",), 128)
        label = option(config, ("checkpoint_format", "format"), "gptq")
        if config.get("is_marlin_format"):
            label = "marlin"
        if label not in ("gptq", "gptq_v2"):
            raise ModelError(f"has the GPTQ format {brief(label)}; gptq and gptq_v2 are read. "
                             "GPTQModel writes such a file from this one")
        if option(config, ("pack_dtype",), "int32") != "int32":
            raise ModelError(f"packs its weights into {brief(config['pack_dtype'])}; only int32 is read")
        self._refuse_overrides(option(config, ("dynamic",), {}), config)
        self.notes = []
        self._zeros = self._find_zeros(label, config, modules)

    def _refuse_overrides(self, dynamic, config):
        """Modules that are left out show it by what they store; other bits or groups of some are not supported."""
        if not isinstance(dynamic, dict):
            raise ModelError(f"has dynamic = {brief(dynamic)}; it must be an object")
        for pattern, changes in dynamic.items():
            if pattern.startswith("-:") or not isinstance(changes, dict):
                continue
            for key in ("bits", "group_size", "pack_dtype", "checkpoint_format", "format"):
                if changes.get(key, config.get(key)) != config.get(key):
                    raise ModelError(f"has another {key} for the modules {brief(pattern)}, which is not supported")

    def _find_zeros(self, label, config, modules):
        middle = 1 << (self._bits - 1)
        ones   = _ONES[self._bits]
        stored = [part(parts, module, "qzeros", ("I32", "U32")).view(np.uint32) for module, parts in modules.items()]
        if config.get("sym") is True and stored:
            for truth, value in (("gptq_v2", middle*ones), ("gptq", (middle - 1)*ones)):
                if truth != label and all((words == np.uint32(value)).all() for words in stored):
                    self.notes.append(f"its configuration says {label}, its zeros are those of {truth}: taken as such")
                    label = truth
                    break
        if label == "gptq_v2":
            return "v2"
        meta    = config.get("meta") if isinstance(config.get("meta"), dict) else {}
        writers = meta.get("quantizer", [])
        writers = writers if isinstance(writers, list) else [writers]
        if any(isinstance(name, str) and name.startswith("gptqmodel") for name in writers):
            return "v1 by word"
        full = sum(_full_codes(words, self._bits) for words in stored)
        if full:
            self.notes.append(f"{full} of its zeros are stored as all ones, where some writers of this format lost the "
                              "zeros of a whole word; they are read as 0")
        return "v1 by code"

    def tensor(self, module, parts):
        """The weight of a module; ModelError where its parts do not fit."""
        return GptqTensor(module, parts, self._bits, self._group_size, self._zeros)


def _full_codes(words, bits):
    """How many codes have all bits set."""
    for shift in (1 << i for i in range(bits.bit_length() - 1)):
        words = words & (words >> np.uint32(shift))
    return int(np.unpackbits((words & np.uint32(_ONES[bits])).reshape(-1).view(np.uint8)).sum())
