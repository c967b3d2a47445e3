# SPDX-License-Identifier: BSD-2-Clause
"""Golden vectors: small fixed inputs through layout, checks and arithmetic, for the digest of the contract.

Inputs come from a generator of integers that stands here, and outputs are hashed as little-endian bytes, so neither
NumPy's version nor the machine matters. Where the arithmetic takes another path for large numbers, there is a vector on
each; where it rounds, there is a tie.
"""

from dataclasses import replace

import numpy as np

from mixpe_gateware.contract import jobs, layout, reference, wide
from mixpe_gateware.contract.config import K_LIMIT, N_LIMIT, Config
from mixpe_gateware.contract.descriptor import GROUP_CODE_K, fold_words
from mixpe_gateware.contract.program.golden import program_vectors
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, TWO_LEVEL_GROUP, Form, Scaling

MEM_BYTES = 1 << 20
NARROW    = Config(rows=2, port_bits=16, k_max=512, buffer_beats=64, inbox_bytes=4096)
BROAD     = Config(rows=4, port_bits=128)
N, K, M, G = 11, 96, 6, 32   # a last block that is not full, row tiles of which the last is not either
GROUPS    = K//G


class _Integers:
    """x ← 1664525·x + 1013904223 mod 2^32, of which the upper half is used."""

    def __init__(self):
        self.state = 1

    def take(self, low, high, *shape):
        """Integers low … high: int64 of that shape."""
        values = []
        for _ in range(int(np.prod(shape))):
            self.state = (1664525*self.state + 1013904223) & 0xFFFFFFFF
            values.append(low + (self.state >> 16)*(high - low + 1)//65536)
        return np.array(values, np.int64).reshape(shape)


def _float16(bits):
    return bits.astype(np.uint16).view(np.float16)


def _bytes(*arrays):
    return b"".join(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes() for array in arrays)


def _layout(integers):
    q      = integers.take(0, 15, N, K).astype(np.uint8)
    scales = _float16(integers.take(0, 0x7BFF, N, GROUPS))
    zeros  = integers.take(0, 15, N, GROUPS).astype(np.uint8)
    for config in (NARROW, BROAD):
        stream = layout.pack_stream(layout.pack_nibbles(q), Scaling(scales, zeros), config)
        packed, found = layout.unpack_stream(stream, N, K, GROUPS, config)
        yield f"stream {config.port_bits}", _bytes(stream, layout.unpack_nibbles(packed), found.scales, found.zeros)
        table = integers.take(0, 255, layout.shift_bytes(M, GROUPS, config)).astype(np.uint8)
        words = integers.take(-9999, 9999, M, N, GROUPS).astype(np.int32)
        yield f"rows {config.port_bits}", _bytes(layout.unpack_shifts(table, M, GROUPS, config),
            layout.tile_results(words, config))


def _arithmetic(integers):
    x = integers.take(-128, 127, M, K).astype(np.int8)
    q = integers.take(0, 15, N, K).astype(np.uint8)
    partial, sums = reference.partials(x, q, G), reference.row_sums(x, G)
    zeros  = integers.take(0, 15, N, GROUPS).astype(np.uint8)
    shifts = integers.take(0, 15, M, GROUPS).astype(np.uint8)
    near   = _float16(integers.take(0x3800, 0x3FFF, N, GROUPS))                       # 0.5 … 2
    signed = _float16(integers.take(0, 0x7BFF, N, GROUPS) | integers.take(0, 1, N, GROUPS) << 15)  # all finite ones
    yield "group sums", _bytes(partial, sums)
    yield "channels", _bytes(*(reference.accumulate(partial, sums, scales, zeros, table)
        for scales in (near, signed) for table in (None, shifts)))
    yield "ties", _bytes(*(_ties(range_log2) for range_log2 in (0, 20, 29)))
    yield "zero", _bytes(reference.accumulate(np.array([[[30]]]), np.array([[10]]), np.array([[-1]], np.float16),
        np.array([[3]], np.uint8)))
    floats = _float16(integers.take(0, 0x7BFF, M, K) | integers.take(0, 1, M, K) << 15)
    # Halves of a step below the group's largest, which is 1: ties of the alignment.
    floats[0, :G] = 1 + np.arange(G)/1024
    floats[0, 1:5] = np.array([1, 3, 5, 7])/16384
    aligned, steps, unit = wide.align(floats, G)
    rows = wide.split(aligned)
    yield "wide", _bytes(aligned, steps, unit.astype(np.float32), rows, wide.join(rows))
    yield "output", _bytes(reference.output(reference.accumulate(partial, sums, near, zeros),
        (1 + np.arange(M)/7).astype(np.float32)))


def _ties(range_log2):
    """Sums half way between two FP32, over scales of a range of 2^range_log2: in FP64, INT64 and without limit."""
    partial = np.array([[[1, 0], [3, 0], [1, 1], [3, -1]]]) + np.array([1 << 24, 0])
    scales  = np.array([[2.0**15, 2.0**(15 - range_log2)]]*4, np.float16)
    return reference.accumulate(partial, np.zeros((1, 2), np.int64), scales, np.zeros((4, 2), np.uint8))


def _jobs():
    """Words, sizes and codes of jobs that end in every way, at the edge."""
    good = jobs.Job(weights_addr=0, act_addr=1 << 17, out_addr=1 << 18, n=N, k=K, m=M, group=0, out_bytes=1 << 18,
        tag=0x12345678)
    changes = ({}, {"planes": True}, {"fused": True}, {"fused": True, "wide": True, "shift": True},
        {"group": GROUP_CODE_K}, {"group": 4}, {"group": 1}, {"wide": True}, {"fused": True, "wide": True, "m": 5},
        {"n": 0}, {"n": N_LIMIT}, {"n": N_LIMIT + 1}, {"k": 512, "m": 4}, {"k": 512, "m": 5}, {"k": K_LIMIT, "m": 1},
        {"k": 31}, {"m": 0}, {"weights_addr": 2}, {"act_addr": 8}, {"act_addr": MEM_BYTES},
        {"act_addr": MEM_BYTES + 4096 - M*K}, {"act_addr": MEM_BYTES + 4096}, {"out_addr": MEM_BYTES - 64},
        {"out_addr": (1 << 17) + 64}, {"out_bytes": 4*N*M*GROUPS}, {"out_bytes": 4*N*M*GROUPS - 1})
    words, found = [], []
    for change in changes:
        job = replace(good, **change)
        words += [*job.words(), fold_words(job.words())]
        for config in (NARROW, BROAD):
            code = jobs.check_job(job, config, MEM_BYTES)
            found.append(code)
            if code == jobs.JobCode.OK:
                found += [job.tiles(config), job.weight_bytes(config), job.act_bytes(config), job.result_bytes(config)]
    yield "descriptors", _bytes(np.array(words, np.uint32))
    yield "jobs", _bytes(np.array([int(value) for value in found], np.int64))


def _minima(integers):
    """The forms of real minima: their streams, their arithmetic, and answers to their jobs."""
    k = 2*SUPERBLOCK_GROUPS*TWO_LEVEL_GROUP
    groups = k//TWO_LEVEL_GROUP
    x = integers.take(-128, 127, M, k).astype(np.int8)
    q = integers.take(0, 15, N, k).astype(np.uint8)
    partial, sums = reference.partials(x, q, TWO_LEVEL_GROUP), reference.row_sums(x, TWO_LEVEL_GROUP)
    shifts = integers.take(0, 15, M, groups).astype(np.uint8)
    for form, entries in ((Form.MINIMUM, groups), (Form.TWO_LEVEL, groups//SUPERBLOCK_GROUPS)):
        halves  = integers.take(0, 0x7BFF, 2, N, entries) | integers.take(0, 1, 2, N, entries) << 15
        factors = integers.take(0, 63, N, groups, 2).astype(np.uint8)
        scaling = Scaling(_float16(halves[0]), minima=_float16(halves[1]),
            factors=factors if form == Form.TWO_LEVEL else None)
        for config in (NARROW, BROAD):
            stream = layout.pack_stream(layout.pack_nibbles(q), scaling, config)
            packed, found = layout.unpack_stream(stream, N, k, groups, config, form)
            yield f"{form.name} {config.port_bits}", _bytes(stream, packed, found.scales, found.minima,
                *([found.factors] if form == Form.TWO_LEVEL else []))
        yield f"{form.name} channels", _bytes(*(reference.dequantise(partial, sums, scaling, table)
            for table in (None, shifts)))
    good  = jobs.Job(weights_addr=0, act_addr=1 << 17, out_addr=1 << 18, n=N, k=k, m=1, group=0, out_bytes=1 << 18,
        fused=True)
    found = []
    for change in ({}, {"k": k - 32}, {"group": 1}, {"group": GROUP_CODE_K}, {"planes": True}, {"fused": False}):
        for form in (*Form, 3):
            job = replace(good, form=int(form), **change)
            found += [*job.words(), *(jobs.check_job(job, replace(BROAD, minima=minima), MEM_BYTES)
                for minima in (False, True)), *([job.weight_bytes(BROAD)] if form in list(Form) else [])]
    yield "jobs of minima", _bytes(np.array([int(value) for value in found], np.int64))


def golden_vectors(parts=()):
    """All of them, those of the optional parts last: an iterator of (name, bytes)."""
    integers = _Integers()
    yield from _layout(integers)
    yield from _arithmetic(integers)
    yield from _jobs()
    if "minima" in parts:
        yield from _minima(_Integers())
    if "decoder" in parts:
        yield from program_vectors(_Integers(), [NARROW, BROAD])
