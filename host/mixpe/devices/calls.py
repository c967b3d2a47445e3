# SPDX-License-Identifier: BSD-2-Clause
"""One call of a layer as jobs, and its result from theirs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixpe.plan.cut import channels_per_job, fit_buffers, rows_per_job, slab_block_bytes
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.jobs import Job
from mixpe_gateware.contract.reference import accumulate


@dataclass
class Task:
    """A job without its buffers.

    Attributes
    ----------
    job : Job
        Addresses of activations and results are filled in when it is posted.
    act_key : tuple
        Tasks with the same key share their activations in memory.
    act_image : callable
        Makes the activations' bytes.
    take : callable
        Takes the results' bytes, (out_bytes,) uint8.
    """

    job: Job
    act_key: tuple
    act_image: Callable
    take: Callable


class Call:
    """A layer meets activations.

    Parameters
    ----------
    linear : DeviceLinear
    acts : Activations
    out_bytes_max : int
        Size of the largest result buffer.
    """

    fused = False

    def __init__(self, linear, acts, out_bytes_max):
        self.linear = linear
        self.acts   = acts
        self.matrix = linear.matrix
        self.config = linear.device.config
        self.out_bytes_max = out_bytes_max
        self.set_row_step(min(rows_per_job(slab.k, self.matrix.planes, self.config) for slab in linear.slabs))

    def fit_memory(self, words):
        """Fewer rows, then fewer channels a job where memory is short; `words` result words a row and channel."""
        row_bytes = max(slab.k + self.config.beat_bytes + slab.groups for slab in self.linear.slabs)
        rows, self.out_bytes_max = fit_buffers(self.row_step, row_bytes, words, self.out_bytes_max,
            self.linear.device.memory.largest_bytes)
        self.set_row_step(rows)

    def set_row_step(self, rows):
        """Most activation rows of one job, even where a token has two."""
        self.row_step = rows//2*2 if self.acts.wide and rows > 1 else rows

    def row_slices(self, start=0, stop=None):
        """Activation rows of one job after another; a token's two rows stay together where a job takes two."""
        stop = len(self.acts.rows) if stop is None else stop
        return [slice(low, min(stop, low + self.row_step)) for low in range(start, stop, self.row_step)]

    def channel_slices(self, words):
        """Output channels of one job after another, for so many result words a channel."""
        step = channels_per_job(self.matrix.n, words, self.out_bytes_max)
        return [slice(start, min(self.matrix.n, start + step)) for start in range(0, self.matrix.n, step)]

    def task(self, index, rows, channels, take):
        """The job of one slab, some rows and some channels."""
        slab    = self.linear.slabs[index]
        table   = self.fused and self.acts.wide
        block   = slab_block_bytes(slab, self.matrix.planes, self.config)
        job = Job(weights_addr=self.linear.addrs[index] + channels.start//CHANNELS_PER_BLOCK*block, act_addr=0,
            out_addr=0, n=channels.stop - channels.start, k=slab.k, m=rows.stop - rows.start, group=slab.code,
            out_bytes=0, fused=self.fused, wide=table, shift=table, planes=self.matrix.planes == 2)
        key = id(self.acts), rows.start, rows.stop, slab.start, slab.stop, table
        return Task(job, key, lambda: self.acts.image(rows, slab, self.config.beat_bytes, table), take)


class FusedCall(Call):
    """Dequantised on the device: results are FP32, only the activations' scale is left to do."""

    fused = True

    def __init__(self, linear, acts, out_bytes_max):
        super().__init__(linear, acts, out_bytes_max)
        self.fit_memory(1)
        self._sums = np.empty((acts.tokens, self.matrix.n), np.float32)

    def tasks(self):
        rows_per_token = 2 if self.acts.wide else 1
        for rows in self.row_slices():
            tokens = slice(rows.start//rows_per_token, rows.stop//rows_per_token)
            for channels in self.channel_slices(tokens.stop - tokens.start):
                yield self.task(0, rows, channels, self._taker(tokens, channels))

    def result(self):
        """(m, n) float32"""
        return self.acts.finish(self._sums)

    def _taker(self, tokens, channels):
        def take(raw):
            shape = channels.stop - channels.start, tokens.stop - tokens.start
            self._sums[tokens, channels] = raw.view("<f4")[:shape[0]*shape[1]].reshape(shape).T
        return take


class PartialsCall(Call):
    """Exact partial sums from the device.

    Parameters
    ----------
    raw : bool
        Results are the partial sums themselves, not the dequantised layer.
    """

    def __init__(self, linear, acts, out_bytes_max, *, raw):
        super().__init__(linear, acts, out_bytes_max)
        self.raw = raw
        self._row_words = self.matrix.planes*max(slab.groups for slab in linear.slabs)
        fits = out_bytes_max//(4*CHANNELS_PER_BLOCK*self._row_words)
        self.set_row_step(min(self.row_step, max(1, fits)))
        self.fit_memory(self._row_words)
        shape = (len(acts.rows), self.matrix.n, self.matrix.groups) if raw else (acts.tokens, self.matrix.n)
        self._out = np.zeros(shape, np.int32 if raw else np.float32)

    def tasks(self):
        slabs, total = self.linear.slabs, len(self.acts.rows)
        step = max(self.row_step, 2 if self.acts.wide else 1)
        for start in range(0, total, step):
            rows  = slice(start, min(total, start + step))
            for channels in self.channel_slices(min(self.row_step, rows.stop - rows.start)*self._row_words):
                shape = rows.stop - rows.start, channels.stop - channels.start, self.matrix.groups
                block = self._out[rows, channels] if self.raw else np.zeros(shape, np.int32)
                cuts  = self.row_slices(rows.start, rows.stop)
                parts = [(part, index) for part in cuts for index in range(len(slabs))]
                for part, index in parts:
                    target = block[part.start - rows.start:part.stop - rows.start]
                    last   = (part, index) == parts[-1] and not self.raw
                    finish = self._finisher(rows, channels, block) if last else None
                    yield self.task(index, part, channels, self._taker(slabs[index], target, finish))

    def result(self):
        """(m, n) float32, or with `raw` (m, n, groups) int32"""
        return self._out if self.raw else self.acts.finish(self._out)

    def _taker(self, slab, target, finish):
        def take(raw):
            self._add(raw, slab, target)
            if finish is not None:
                finish()
        return take

    def _finisher(self, rows, channels, block):
        """Dequantise a block once all its jobs have ended; they end in order."""
        def finish():
            partial, sums = self.acts.combine(block, rows)
            step   = 2 if self.acts.wide else 1
            tokens = slice(rows.start//step, rows.stop//step)
            shifts = self.acts.shifts[tokens] if self.acts.wide else None
            self._out[tokens, channels] = accumulate(partial, sums, self.matrix.scales[channels],
                self.matrix.zeros[channels], shifts)
        return finish

    def _add(self, raw, slab, block):
        """Add a job's words (n, tiles, passes·groups, rows of the tile) to a block (m, n, groups)."""
        planes, array_rows = self.matrix.planes, self.config.rows
        m, n, _ = block.shape
        groups  = slice(slab.first_group, slab.first_group + slab.groups)
        words   = raw.view("<i4")[:n*m*planes*slab.groups].reshape(n, -1)
        start   = 0
        whole   = m//array_rows*array_rows
        for low, high in ((0, whole), (whole, m)):
            if low == high:
                continue
            rows  = min(array_rows, high - low)
            size  = (high - low)*planes*slab.groups
            part  = words[:, start:start + size].reshape(n, -1, planes, slab.groups, rows)
            start += size
            part  = 16*part[:, :, 0] + part[:, :, 1] if planes == 2 else part[:, :, 0]
            block[low:high, :, groups] += part.transpose(1, 3, 0, 2).reshape(high - low, n, slab.groups)
