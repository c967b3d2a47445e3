# SPDX-License-Identifier: BSD-2-Clause
"""The table of a descriptor's words: what the host writes to post a job, word after word.

From it follow the words of `contract.jobs.Job`, the job registers, the slots of the queue, what the checker fetches and
the documentation. A word is one line here, a field of the same name in `Job`, and what the gateware does with it.
"""

from dataclasses import dataclass
from enum import IntEnum

from mixpe_gateware.contract.config import GROUP_SIZES
from mixpe_gateware.contract.fields import Field, WithFields
from mixpe_gateware.contract.scaling import Form


class Opcode(IntEnum):
    """Engines, by the operation that a descriptor names."""

    GEMM      = 1
    VECTOR    = 2  # of programs alone
    ATTENTION = 3  # of programs alone
    RUN       = 4


GROUP_CODE_K = 7  # group code of G = k; the others are indices in GROUP_SIZES


@dataclass(frozen=True)
class Word(WithFields):
    """One word; `Job` has an attribute of the name of each field, or of the word where it has none."""

    name: str
    text: str
    fields: tuple = ()

    def pack(self, job):
        """The word of a job: an int.

        Raises
        ------
        RangeError
            An attribute does not fit its field.
        """
        if not self.fields:
            return getattr(job, self.name)
        return sum(field.put(int(getattr(job, field.name))) for field in self.fields)

    def unpack(self, value):
        """Attributes of a job from the word, flags as bool: dict. None where bits are set that no field has."""
        if not self.fields:
            return {self.name: value}
        if value & ~self.mask:
            return None
        return {field.name: bool(field.of(value)) if field.is_flag else field.of(value) for field in self.fields}


GROUP_CODES = (*((code, f"G = {size}") for code, size in enumerate(GROUP_SIZES)), (GROUP_CODE_K, "G = k"))

# In the order in which they are written; the last one posts the job.
WORDS = (
    Word("op",           "which engine works, and when", (
        Field("opcode", 0, 8, "engine", tuple((code.value, code.name) for code in Opcode)),
        Field("fence",  8, 1, "begin when all jobs posted before have ended, so that their results may be used"),
    )),
    Word("weights_addr", "byte offset of the weight stream in the memory"),
    Word("act_addr",     "byte offset of the activations; the inbox starts behind the memory"),
    Word("out_addr",     "byte offset of the result buffer"),
    Word("n",            "output channels"),
    Word("k",            "reduction length"),
    Word("m",            "activation rows"),
    Word("flags",        "how the operands are laid out and what the results are", (
        Field("group",  0, 3, "code of the group size", GROUP_CODES),
        Field("planes", 3, 1, "W8: a channel is two W4 channels, high nibbles then low nibbles, of 2k weights and 2k/G "
                              "groups"),
        Field("fused",  4, 1, "results as float32, dequantised per group; else int32 sums of each group"),
        Field("wide",   5, 1, "A16: rows 2t and 2t+1 are the high and low bytes of token t (fused only)"),
        Field("shift",  6, 1, "a table of alignment shifts per row and group follows the activations (fused only)"),
        Field("form",   7, 2, "what stands beside the scales", tuple((form.value, form.text) for form in Form),
            part="minima"),
    )),
    Word("out_bytes",    "size of the result buffer"),
    Word("tag",          "any value; returned with the result"),
)

INDEX      = {word.name: index for index, word in enumerate(WORDS)}
POST       = len(WORDS) - 1             # the word that posts
SLOT_WORDS = 1 << POST.bit_length()     # a descriptor's place in the queue's memory

FLAGS = WORDS[INDEX["flags"]]
FLAG_PLANES, FLAG_FUSED, FLAG_WIDE, FLAG_SHIFT = (FLAGS.field(name).mask for name in
    ("planes", "fused", "wide", "shift"))
FORM = FLAGS.field("form")


def flag_bits(parts):
    """Bits of the word of flags that builds with these optional parts have; all of them mean something."""
    return max(field.msb for field in FLAGS.fields_of(parts)) + 1


def fold_words(words):
    """Check word of a descriptor: each word turns the sum left by one bit and is XORed to it; the first starts anew."""
    value = 0
    for word in words:
        value = ((value << 1 | value >> 31) & 0xFFFFFFFF) ^ word
    return value
