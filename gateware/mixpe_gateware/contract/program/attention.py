# SPDX-License-Identifier: BSD-2-Clause
"""What an ATTENTION record does to the memory's bytes: its checks, its code, its results.

One position's queries over all positions of the cache, or over the last `window` of them: `contract.decoder.attention`
from the codes that QUERY and APPEND wrote.
"""

from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.config import CONTEXT_LIMIT
from mixpe_gateware.contract.decoder.attention import mix, scores, weights
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import ATTENTION, HEADS, named_words

CONTEXT_STEP = 64  # of `context`
HEAD_STEP    = 32  # of `head_dim`


@dataclass(frozen=True)
class AttentionRecord:
    """A record as the engine gets it; words of `records.ATTENTION`."""

    keys_addr:      int
    a_addr:         int
    out_addr:       int
    positions:      int
    scales_addr:    int
    heads:          int
    exponents_addr: int
    out_bytes:      int
    window:         int
    values_addr:    int
    context:        int

    @classmethod
    def of(cls, words):
        """From words 0 … 11."""
        return cls(**named_words(ATTENTION, words))

    @property
    def shape(self):
        """c, group, d."""
        return tuple(HEADS.field(name).of(self.heads) for name in ("kv_heads", "group", "head_dim"))

    @property
    def result_bytes(self):
        return 4*int(np.prod(self.shape))

    def _regions(self, beat):
        """What is read: (start, size), sizes in whole beats."""
        c, group, d = self.shape
        cache = c*self.context
        return [(self.a_addr, 2*c*group*d), (self.exponents_addr, -(-4*c*group//beat)*beat),
                (self.scales_addr, 4*cache), (self.keys_addr, cache*d), (self.values_addr, cache*d)]

    def check(self, config, mem_bytes):
        """The code of the first check that fails, before anything is read or written; else OK."""
        c, group, d = self.shape
        if self.heads & ~HEADS.mask or not c or not group or not 0 < d <= config.head_max or d % HEAD_STEP:
            return JobCode.PROGRAM
        if self.context % CONTEXT_STEP or self.context > CONTEXT_LIMIT:
            return JobCode.PROGRAM
        if not 0 < self.positions <= min(self.context, config.context_max):
            return JobCode.PROGRAM
        beat    = config.beat_bytes
        regions = self._regions(beat)
        if any(start % beat for start, _ in regions) or self.out_addr % beat:
            return JobCode.ALIGN
        if any(start + size > mem_bytes for start, size in regions):
            return JobCode.MEMORY
        end = self.out_addr + self.result_bytes
        if any(start < end and self.out_addr < start + size for start, size in regions):
            return JobCode.OVERLAP
        return JobCode.OK if self.result_bytes <= self.out_bytes else JobCode.SPACE


def execute(words, memory, config):
    """Run an ATTENTION record.

    Parameters
    ----------
    words : 12 int
    memory : SessionMemory
    config : Config

    Returns
    -------
    JobCode
        RANGE: no result was written. MEMORY: those in the session's region may have been.
    """
    record = AttentionRecord.of(words)
    code   = record.check(config, memory.size)
    if code != JobCode.OK:
        return code
    c, group, d = record.shape
    begin  = max(0, record.positions - record.window) if record.window else 0
    seen   = slice(begin, record.positions)
    hidden = np.zeros((1, record.positions - begin), bool)
    keys, values = (memory.array(address, np.int8, (1, c, record.context, d))[:, :, seen]
        for address in (record.keys_addr, record.values_addr))
    scales = memory.array(record.scales_addr, np.uint16, (2, 1, c, record.context))[:, :, :, seen]
    codes  = memory.array(record.a_addr, np.int16, (1, c, group, 1, d)).astype(np.float64)
    exponents = memory.array(record.exponents_addr, np.int32, (1, c, group, 1))
    try:
        out = mix(weights(scores(codes, exponents, keys, scales[0], hidden)), values, scales[1], hidden)
    except RangeError:
        return JobCode.RANGE
    return JobCode.OK if memory.write(record.out_addr, out) else JobCode.MEMORY
