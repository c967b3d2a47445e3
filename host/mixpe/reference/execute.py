# SPDX-License-Identifier: BSD-2-Clause
"""Jobs in numpy: the same checks, the same bytes in memory, the same bits as the gateware."""

from collections import OrderedDict

import numpy as np

from mixpe_gateware.contract.jobs import JobCode, check_job
from mixpe_gateware.contract.layout import tile_results, unpack_nibbles, unpack_shifts, unpack_stream
from mixpe_gateware.contract.reference import accumulate, partials_of, row_sums, spread
from mixpe_gateware.contract.wide import join

CACHE_BYTES = 512 << 20  # unpacked weights that are kept between jobs


class Executor:
    """Runs jobs on a byte array.

    Unpacked weights are kept until their bytes in memory change, since a layer is used many times.

    Parameters
    ----------
    config : Config
    memory : (mem_bytes + inbox_bytes,) uint8
        The inbox follows the memory.
    """

    def __init__(self, config, memory):
        self.config = config
        self.memory = memory
        self.mem_bytes = len(memory) - config.inbox_bytes
        self._cache = OrderedDict()
        self._cached_bytes = 0

    def written(self, start, size):
        """Forget unpacked weights that overlap size bytes at start."""
        for key in [key for key in self._cache if key[0] < start + size and start < key[0] + key[1]]:
            self._forget(key)

    def run(self, job):
        """Check and run one job; its results are in memory afterwards.

        Returns
        -------
        JobCode
        """
        code = check_job(job, self.config, self.mem_bytes)
        if code != JobCode.OK:
            return code
        act = self.memory[job.act_addr:job.act_addr + job.m*job.k].view(np.int8).reshape(job.m, job.k)
        planes, scales, zeros = self._weights(job)
        partial = np.concatenate([partials_of(act, plane) for plane in planes], axis=2)
        if job.fused:
            words = self._fused(job, act, partial, scales, zeros)
        else:
            words = tile_results(partial, self.config)
        size = job.result_bytes(self.config)
        self.written(job.out_addr, size)
        out = self.memory[job.out_addr:job.out_addr + size]
        raw = words.reshape(-1).view(np.uint8)
        out[:raw.size] = raw
        out[raw.size:] = 0
        return JobCode.OK

    def _forget(self, key):
        self._cached_bytes -= sum(plane.nbytes for plane in self._cache.pop(key)[0])

    def _weights(self, job):
        """Planes as `spread` arranges them, scales (n, passes·groups), zeros likewise."""
        size = job.weight_bytes(self.config)
        key = (job.weights_addr, size, job.n, job.k, job.groups, job.passes)
        if key not in self._cache:
            stream = self.memory[job.weights_addr:job.weights_addr + size]
            packed, scales, zeros = unpack_stream(stream, job.n, job.passes*job.k, job.passes*job.groups, self.config)
            q = unpack_nibbles(packed).reshape(job.n, job.passes, job.k)
            planes = [spread(np.ascontiguousarray(q[:, index]), job.group_size) for index in range(job.passes)]
            self._cache[key] = planes, scales, zeros
            self._cached_bytes += sum(plane.nbytes for plane in planes)
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self._forget(next(iter(self._cache)))
        self._cache.move_to_end(key)
        return self._cache[key]

    def _fused(self, job, act, partial, scales, zeros):
        """The words (n, tokens) float32."""
        sums = np.tile(row_sums(act, job.group_size), (1, job.passes))
        shifts = None
        if job.shift:
            table  = self.memory[job.act_addr + job.m*job.k:job.act_addr + job.act_bytes(self.config)]
            shifts = np.tile(unpack_shifts(table, job.m, job.groups, self.config), (1, job.passes))
        if job.wide:
            partial, sums = join(partial), join(sums)
            shifts = None if shifts is None else shifts[0::2]
        return np.ascontiguousarray(accumulate(partial, sums, scales, zeros, shifts).T)
