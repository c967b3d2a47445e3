# SPDX-License-Identifier: BSD-2-Clause
"""One job of the accelerator: shape, addresses, and the checks that host and gateware both make.

A job multiplies m activation rows with n output channels over k. Sizes in memory follow from the shape alone, so
host and gateware compute the same regions:

    activations  m·k bytes: row after row, int8 (A16: two rows a token, see `contract.wide`)
    weights      see `contract.layout`
    results      partials  (n, tiles, passes·groups, rows of the tile) int32
                 fused     (n, tokens) float32

where rows are cut in tiles of R. Activations lie in the memory, or in the inbox, whose addresses follow the memory's
last one. All regions start on a beat and results are padded with zeros to a whole beat.
"""

from dataclasses import dataclass
from enum import IntEnum

from mixpe_gateware.contract.config import GROUP_MIN, GROUP_SIZES, N_LIMIT
from mixpe_gateware.contract.descriptor import GROUP_CODE_K, WORDS, Opcode
from mixpe_gateware.contract.layout import shift_bytes, stream_bytes
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, TWO_LEVEL_GROUP, Form

WATCHDOG_CYCLES = 1 << 20  # without a beat from or to memory, or a step of an engine, after which jobs are aborted


class JobCode(IntEnum):
    """How a job ended.

    Attributes
    ----------
    text : str
        For people.
    part : str
        The optional part of the contract (`config.OPTIONAL_PARTS`) that it belongs to; none else answers with it.
    """

    OK          = 0, "done"
    SHAPE       = 1, "n or m is zero, k under 32, one over its limit, or k is no multiple of group size and lanes"
    GROUP       = 2, "group size not supported, or too many groups for the on-chip memories"
    ROWS        = 3, "m rows of k activations do not fit the on-chip buffers"
    UNSUPPORTED = 4, "an operation or flags that this build does not have"
    ALIGN       = 5, "an address is no multiple of the beat"
    MEMORY      = 6, "a region ends outside the device's memory"
    OVERLAP     = 7, "the results overlap the weights or the activations"
    SPACE       = 8, "the result buffer is smaller than the results"
    ABORTED     = 9, "aborted by a reset"
    WATCHDOG    = 10, "nothing moved for too long: the memory does not answer"
    RANGE       = 11, "a number left FP32 or the width that a decoder keeps it in", "decoder"
    PROGRAM     = 12, "a program that is damaged, of another model, or beyond this build", "decoder"
    POSITION    = 13, "a position or count beyond the session's context", "decoder"

    def __new__(cls, value, text, part=""):
        code = int.__new__(cls, value)
        code._value_ = value
        code.text, code.part = text, part
        return code


def group_code(group_size, k):
    """Code of a group size in a descriptor: 0 … 3 for 32 … 256, 7 for G = k; None if there is none."""
    if group_size in GROUP_SIZES:
        return GROUP_SIZES.index(group_size)
    return GROUP_CODE_K if group_size == k else None


@dataclass(frozen=True, kw_only=True)
class Job:
    """A descriptor: what the words of `contract.descriptor` carry, by the names of their fields."""

    weights_addr: int
    act_addr: int
    out_addr: int
    n: int
    k: int
    m: int
    group: int            # group code
    out_bytes: int        # size of the result buffer
    fused: bool = False
    wide: bool = False
    shift: bool = False
    planes: bool = False
    form: int = Form.ZERO
    tag: int = 0
    opcode: int = Opcode.GEMM
    fence: bool = False

    @classmethod
    def from_words(cls, words):
        """Invert `words`: a Job, or None where bits are set that no field has."""
        values = {}
        for word, value in zip(WORDS, words, strict=True):
            found = word.unpack(int(value))
            if found is None:
                return None
            values.update(found)
        return cls(**values)

    def words(self):
        """The 32-bit words that are written to the job registers, in order: list of int."""
        return [word.pack(self) for word in WORDS]

    def __str__(self):
        return f"a job of m={self.m}, n={self.n}, k={self.k}"

    @property
    def group_size(self):
        return self.k if self.group == GROUP_CODE_K else GROUP_SIZES[self.group]

    @property
    def groups(self):
        """Groups of the activations along k."""
        return self.k//self.group_size

    @property
    def passes(self):
        """Times that a channel's stream runs over the activations."""
        return 2 if self.planes else 1

    def tiles(self, config):
        return -(-self.m//config.rows)

    def weight_bytes(self, config):
        return stream_bytes(self.n, self.passes*self.k, self.passes*self.groups, config, self.form)

    def act_bytes(self, config):
        """Activations, and with `shift` their table."""
        return self.m*self.k + (shift_bytes(self.m, self.groups, config) if self.shift else 0)

    def result_bytes(self, config):
        """Bytes written, padded to a whole beat."""
        words = self.n*(self.m//2 if self.wide else self.m)*(1 if self.fused else self.passes*self.groups)
        return -(-4*words//config.beat_bytes)*config.beat_bytes


def in_inbox(job, mem_bytes):
    """Whether a job's activations start behind the memory."""
    return job.act_addr >= mem_bytes


def check_job(job, config, mem_bytes):
    """What the gateware answers to this job at once: `JobCode.OK` or the first check that fails, in its order.

    Before all that come bits that no field has: `Job.from_words` is None, the gateware says `JobCode.UNSUPPORTED`.
    """
    if job.opcode != Opcode.GEMM:
        return JobCode.UNSUPPORTED
    if job.fused and not config.fused:
        return JobCode.UNSUPPORTED
    if (job.wide or job.shift) and not job.fused:
        return JobCode.UNSUPPORTED
    if job.form >= len(Form) or (job.form and not config.minima):
        return JobCode.UNSUPPORTED
    if not (0 < job.n <= N_LIMIT and GROUP_MIN <= job.k <= config.k_max and 0 < job.m <= config.k_max):
        return JobCode.SHAPE
    if job.wide and (job.m % 2 or config.rows % 2):
        return JobCode.SHAPE
    if job.group != GROUP_CODE_K and job.group >= len(GROUP_SIZES):
        return JobCode.GROUP
    if job.form == Form.TWO_LEVEL and job.group != GROUP_SIZES.index(TWO_LEVEL_GROUP):
        return JobCode.GROUP
    if job.k % job.group_size or job.k % config.lanes:
        return JobCode.SHAPE
    if job.form == Form.TWO_LEVEL and job.groups % SUPERBLOCK_GROUPS:
        return JobCode.SHAPE
    if job.passes*job.groups > config.groups_max:
        return JobCode.GROUP
    if job.tiles(config)*job.k > 2*config.k_max:
        return JobCode.ROWS
    if job.tiles(config) > 1 and job.passes*job.k//config.lanes > config.buffer_beats:
        return JobCode.ROWS
    beat = config.beat_bytes
    if job.weights_addr % beat or job.act_addr % beat or job.out_addr % beat:
        return JobCode.ALIGN
    regions = [(job.weights_addr, job.weight_bytes(config)), (job.act_addr, job.act_bytes(config)),
        (job.out_addr, job.result_bytes(config))]
    inside = [start + size <= mem_bytes for start, size in regions]
    inside[1] |= in_inbox(job, mem_bytes) and sum(regions[1]) <= mem_bytes + config.inbox_bytes
    if not all(inside):
        return JobCode.MEMORY
    out_start, out_end = job.out_addr, job.out_addr + regions[2][1]
    if any(start < out_end and out_start < start + size for start, size in regions[:2]):
        return JobCode.OVERLAP
    if job.out_bytes < regions[2][1]:
        return JobCode.SPACE
    return JobCode.OK
