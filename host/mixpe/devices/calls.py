# SPDX-License-Identifier: BSD-2-Clause
"""A planned call with its numbers: activations that go to the device, and what the jobs' results add up to.

`Device.execute` carries out anything with `plan`, `addrs`, `acts`, `take` and, for messages, `name`.
"""

import numpy as np

from mixpe_gateware.contract.reference import dequantise, output


class FusedCall:
    """Dequantised on the device: results are FP32, only the activations' scale is left to do.

    Parameters
    ----------
    plan : CallPlan
    addrs : list of int
        Where each slab's weight stream lies.
    acts : Activations
    name : str
        Of the layer.
    """

    def __init__(self, plan, addrs, acts, name):
        self.plan, self.addrs, self.acts, self.name = plan, addrs, acts, name
        self._sums = np.empty((plan.tokens, plan.layer.n), np.float32)

    def take(self, step, raw):
        """Take a job's results, (out_bytes,) uint8: the words (n, tokens) float32."""
        target = self._sums[step.tokens, step.channels]
        target[:] = raw.view("<f4")[:target.size].reshape(target.T.shape).T

    def result(self):
        """(m, n) float32"""
        return output(self._sums, self.acts.factors)


class PartialsCall:
    """Exact partial sums from the device, dequantised here unless the plan wants them raw.

    Parameters
    ----------
    plan, addrs, acts, name
        As for `FusedCall`.
    matrix : Int4Matrix or Int8Matrix
    """

    def __init__(self, plan, addrs, acts, name, matrix):
        self.plan, self.addrs, self.acts, self.name = plan, addrs, acts, name
        self._scaling = matrix.scaling
        groups = (plan.layer.groups,) if plan.raw else ()
        self._out = np.zeros((plan.tokens, plan.layer.n, *groups), np.int32 if plan.raw else np.float32)
        self._block = None  # partial sums that are being added up; jobs end in order

    def take(self, step, raw):
        """Take a job's results, (out_bytes,) uint8: int32 words in the order of `contract.jobs`."""
        each = self.plan.rows_per_token
        rows = slice(each*step.tokens.start, each*step.tokens.stop)
        if self.plan.raw:
            self._block = self._out[rows, step.channels]
        elif self._block is None:
            shape = rows.stop - rows.start, step.job.n, self.plan.layer.groups
            self._block = np.zeros(shape, np.int32)
        self._add(raw, step, self._block[step.acts.start - rows.start:step.acts.stop - rows.start])
        if step.last:
            if not self.plan.raw:
                self._dequantise(step, rows)
            self._block = None

    def result(self):
        """(m, n) float32, or raw (m, n, groups) int32"""
        return self._out if self.plan.raw else output(self._out, self.acts.factors)

    def _dequantise(self, step, rows):
        partial, sums = self.acts.combine(self._block, rows)
        shifts = self.acts.shifts[step.tokens] if self.plan.shift else None
        self._out[step.tokens, step.channels] = dequantise(partial, sums, self._scaling.rows(step.channels), shifts)

    def _add(self, raw, step, block):
        """Add a job's words (n, tiles, passes·groups, rows of the tile) to a block (m, n, groups)."""
        layer, slab = self.plan.layer, self.plan.layer.slabs[step.slab]
        planes, array_rows = layer.planes, layer.config.rows
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
