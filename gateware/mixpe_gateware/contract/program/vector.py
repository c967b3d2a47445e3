# SPDX-License-Identifier: BSD-2-Clause
"""What a VECTOR record does to the memory's bytes: its checks, its code, its results.

a and b are F32 as they are read, a times 2^unit with A_SCALED, b with B_SCALED. Rows of ROTATE, APPEND and QUERY are
heads of one token, whose unit is row 0's; those of all others are tokens, each with its own. With COLUMNS the first
operand of ADD and both of SILU are read as (n, rows), as a GEMM writes results of several tokens.

    ADD     fl(a + b), or a alone;  MEASURE keeps Σ² of each row of results
    NORM    fl(fl(a·r)·m18(b)),  r = rsqrt(fl(fl(Σ²·m18(constant)) + epsilon))
    SILU    fl(fl(a·sigmoid(a))·m18(b))
    QUANT   activations of a GEMM: codes, then a row of shifts for each INT8 row;  keeps units
    ROTATE  pairs turned by one row of cosines and sines
    APPEND  INT8 codes and a bfloat16 scale for each head, at the pitches of the cache
    QUERY   int16 codes and an int32 exponent for each head
    SELECT  index and value of the largest, in falling order;  keeps the first index

A record that fails before it ends with RANGE has written nothing. Of one that ends with RANGE only its own results may
have changed, here none have; one that ends with MEMORY has written what lies in the session's region.
"""

from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract import narrow, wide
from mixpe_gateware.contract.config import GROUP_MIN, GROUP_SIZES, K_LIMIT
from mixpe_gateware.contract.decoder.attention import query_codes
from mixpe_gateware.contract.decoder.cache import append
from mixpe_gateware.contract.decoder.choice import largest
from mixpe_gateware.contract.decoder.float32 import add, flush, multiply, raised
from mixpe_gateware.contract.decoder.functions import reciprocal_root
from mixpe_gateware.contract.decoder.norm import WIDTH_LIMIT, square_sum
from mixpe_gateware.contract.decoder.rope import rotate
from mixpe_gateware.contract.decoder.swiglu import silu_multiply
from mixpe_gateware.contract.errors import RangeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.layout import shift_pitch
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    CHOICE_BITS,
    COLUMNS,
    HAS_B,
    MEASURE,
    NARROW,
    OF_COLUMNS,
    OF_HEADS,
    OP,
    ROWS_MAX,
    TOP,
    VECTOR,
    Function,
    named_words,
)

CHOICE_LIMIT = 1 << CHOICE_BITS  # of SELECT's n, not reached


@dataclass(frozen=True)
class VectorRecord:
    """A record as the engine gets it, patched and with absolute addresses.

    Attributes
    ----------
    function, options : int
    others
        Words of `records.VECTOR`.
    """

    function:   int
    options:    int
    b_addr:     int
    a_addr:     int
    out_addr:   int
    n:          int
    extra_addr: int
    rows:       int
    constant:   int
    out_bytes:  int
    epsilon:    int
    pitch:      int
    pitch_2:    int

    @classmethod
    def of(cls, words):
        """From words 0 … 11."""
        function, options = (OP.field(name).of(words[0]) for name in ("function", "options"))
        return cls(function, options, **named_words(VECTOR, words))

    def has(self, option):
        return bool(self.options & option)

    @property
    def b_size(self):
        """Numbers of the second operand; 0 where there is none."""
        if self.function in (Function.NORM, Function.ROTATE):
            return self.n
        if self.function == Function.SILU:
            return self.rows*self.n
        if self.function == Function.ADD and self.has(HAS_B):
            return self.n if self.has(B_ONE_ROW) else self.rows*self.n
        return 0

    def result_bytes(self, config):
        """From `out_addr` to the end of the results."""
        total = self.rows*self.n
        if self.function == Function.QUANT:
            pitch = shift_pitch(self.n//self.constant, config)
            return (1 if self.has(NARROW) else 2)*(total + self.rows*pitch)
        if self.function == Function.APPEND:
            return (self.rows - 1)*self.pitch + self.n
        if self.function == Function.QUERY:
            return 2*total
        if self.function == Function.SELECT:
            return 8*min(self.constant, self.n)
        return 4*total

    def check(self, config, mem_bytes):
        """The code of the first check that fails, before anything is read or written; else OK."""
        if self._is_wrong(config):
            return JobCode.PROGRAM
        if self._is_misaligned(max(4, config.beat_bytes)):
            return JobCode.ALIGN
        if self.a_addr + 4*self.rows*self.n > mem_bytes or (self.b_size and self.b_addr + 4*self.b_size > mem_bytes):
            return JobCode.MEMORY
        return JobCode.OK if self.result_bytes(config) <= self.out_bytes else JobCode.SPACE

    def _is_wrong(self, config):
        function, n, constant = self.function, self.n, self.constant
        if function not in tuple(Function) or n < GROUP_MIN or not 0 < self.rows <= ROWS_MAX:
            return True
        if function == Function.SELECT:
            return self.rows != 1 or not 0 < constant <= TOP or n >= CHOICE_LIMIT
        if function == Function.QUANT:
            groups = constant == n or (constant in GROUP_SIZES and n % constant == 0)
            return n > K_LIMIT or n % config.lanes != 0 or not groups
        if function in OF_HEADS:
            return n > config.head_max or n % GROUP_MIN != 0
        return n > WIDTH_LIMIT

    def _is_misaligned(self, beat):
        if any(address % beat for address in (self.a_addr, self.out_addr, self.b_addr if self.b_size else 0)):
            return True
        if self.function == Function.APPEND:
            return bool(self.extra_addr % 2 or self.pitch % beat or self.pitch_2 % 2)
        return self.function == Function.QUERY and self.extra_addr % beat != 0


class _Operands:
    """What a record's functions compute with."""

    def __init__(self, record, memory, config, state):
        self.record, self.memory, self.config, self.state = record, memory, config, state

    def _numbers(self, address, shape, option, columns):
        if columns and self.record.has(COLUMNS):
            x = flush(self.memory.array(address, np.float32, shape[::-1])).T
        else:
            x = flush(self.memory.array(address, np.float32, shape))
        if self.record.has(option):
            units = self.state.units[:1] if self.record.function in OF_HEADS else self.state.units[:shape[0]]
            x = raised(x, units[:, None])
        return x

    @property
    def a(self):
        """(rows, n) float32"""
        record = self.record
        return self._numbers(record.a_addr, (record.rows, record.n), A_SCALED, record.function in OF_COLUMNS)

    @property
    def b(self):
        """(rows or 1, n) float32"""
        record = self.record
        return self._numbers(record.b_addr, (record.b_size//record.n, record.n), B_SCALED,
            record.function == Function.SILU)

def _float(word):
    """A word as float32."""
    return flush(np.array(word, np.uint32).view(np.float32))


def _add(operands):
    record, a = operands.record, operands.a
    out = add(a, operands.b) if record.has(HAS_B) else a
    if record.has(MEASURE):
        operands.state.squares[:record.rows] = square_sum(out)
    return [(record.out_addr, out)]


def _norm(operands):
    record = operands.record
    mean   = multiply(operands.state.squares[:record.rows], _float(record.constant))
    root   = reciprocal_root(add(mean, _float(record.epsilon)))
    return [(record.out_addr, multiply(multiply(operands.a, root[:, None]), operands.b))]


def _silu(operands):
    return [(operands.record.out_addr, silu_multiply(operands.a, operands.b))]


def _quant(operands):
    record, config = operands.record, operands.config
    align  = narrow.align_to_exponents if record.has(NARROW) else wide.align_to_exponents
    codes, shifts, units = align(operands.a, record.constant)
    each   = 1 if record.has(NARROW) else 2
    codes  = codes if each == 1 else wide.split(codes)
    table  = np.zeros((each*record.rows, shift_pitch(shifts.shape[1], config)), np.uint8)
    table[:, :shifts.shape[1]] = np.repeat(shifts, each, axis=0)
    operands.state.units[:record.rows] = units
    return [(record.out_addr, codes), (record.out_addr + codes.size, table)]


def _rotate(operands):
    record = operands.record
    cos, sin = operands.b.reshape(2, 1, record.n//2)
    return [(record.out_addr, rotate(operands.a[None, None], cos, sin))]


def _append(operands):
    record = operands.record
    codes, scales = append(operands.a)
    rows = range(record.rows)
    return [*((record.out_addr + row*record.pitch, codes[row]) for row in rows),
            *((record.extra_addr + row*record.pitch_2, scales[row]) for row in rows)]


def _query(operands):
    record = operands.record
    codes, exponents = query_codes(operands.a, _float(record.constant))
    return [(record.out_addr, codes.astype(np.int16)), (record.extra_addr, exponents.astype(np.int32))]


def _select(operands):
    record, values = operands.record, operands.a[0]
    found = largest(values, record.constant)
    operands.state.choice = int(found[0])
    return [(record.out_addr, np.stack([found.astype(np.uint32), values[found].view(np.uint32)], axis=1))]


_RESULTS = {Function.ADD: _add, Function.NORM: _norm, Function.SILU: _silu, Function.QUANT: _quant,
    Function.ROTATE: _rotate, Function.APPEND: _append, Function.QUERY: _query, Function.SELECT: _select}


def execute(words, memory, config, state):
    """Run a VECTOR record.

    Parameters
    ----------
    words : 12 int
    memory : SessionMemory
    config : Config
    state : VectorState
        Is changed.

    Returns
    -------
    JobCode
    """
    record = VectorRecord.of(words)
    code   = record.check(config, memory.size)
    if code != JobCode.OK:
        return code
    try:
        results = _RESULTS[record.function](_Operands(record, memory, config, state))
    except RangeError:
        return JobCode.RANGE
    inside = [memory.write(address, array) for address, array in results]
    return JobCode.OK if all(inside) else JobCode.MEMORY
