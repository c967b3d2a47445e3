# SPDX-License-Identifier: BSD-2-Clause
"""Jobs in numpy: the same checks, the same bytes in memory, the same bits as the gateware."""

from collections import OrderedDict

import numpy as np

from mixpe.reference.product import product_of
from mixpe_gateware.contract.jobs import JobCode, check_job
from mixpe_gateware.contract.layout import tile_results, unpack_nibbles, unpack_shifts, unpack_stream
from mixpe_gateware.contract.reference import dequantise, partials_of, row_sums, spread
from mixpe_gateware.contract.wide import join

CACHE_BYTES = 1 << 30   # unpacked weights that are kept between jobs
WIDE_BYTES  = 64 << 20  # of these as FP64; more would be bound by the processor's memory, not by its arithmetic


class _Planes:
    """Weights of a job for partial sums.

    Attributes
    ----------
    planes : list of (groups, G, n) floats
        As `spread` arranges them, one a pass.
    scaling : Scaling
        Of the groups of all passes.
    """

    def __init__(self, q, scaling, span):
        self.planes = [spread(np.ascontiguousarray(q[:, index]), span) for index in range(q.shape[1])]
        self.scaling = scaling
        self.nbytes = sum(plane.nbytes for plane in self.planes)


class Executor:
    """Runs jobs on a byte array.

    Unpacked weights are kept until their bytes in memory change, since a layer is used many times. A fused job is one
    product in FP64 where that is exact to the bit, else the sum over its groups.

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
        words = self._fused(job, act) if job.fused else tile_results(self._partials(job, act), self.config)
        size = job.result_bytes(self.config)
        self.written(job.out_addr, size)
        out = self.memory[job.out_addr:job.out_addr + size]
        raw = words.reshape(-1).view(np.uint8)
        out[:raw.size] = raw
        out[raw.size:] = 0
        return JobCode.OK

    def _forget(self, key):
        found = self._cache.pop(key)
        self._cached_bytes -= found.nbytes if found is not None else 0

    def _unpacked(self, job, make):
        """What `make` makes of a job's weights, kept."""
        size = job.weight_bytes(self.config)
        key = (job.weights_addr, size, job.n, job.k, job.groups, job.passes, job.form, make)
        if key not in self._cache:
            stream = self.memory[job.weights_addr:job.weights_addr + size]
            packed, scaling = unpack_stream(stream, job.n, job.passes*job.k, job.passes*job.groups, self.config,
                job.form)
            q = unpack_nibbles(packed).reshape(job.n, job.passes, job.k)
            self._cache[key] = found = make(q, scaling, job.group_size)
            if make is product_of and found is not None \
                    and self._cached_bytes + 2*found.nbytes <= min(WIDE_BYTES, CACHE_BYTES):
                found.widen()
            self._cached_bytes += found.nbytes if found is not None else 0
            # Layers come in turns: of those that do not fit, the one used last is needed last.
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                self._forget(list(self._cache)[-2])
        self._cache.move_to_end(key)
        return self._cache[key]

    def _partials(self, job, act):
        """Group sums of all passes: (m, n, passes·groups) int32."""
        return np.concatenate([partials_of(act, plane) for plane in self._unpacked(job, _Planes).planes], axis=2)

    def _fused(self, job, act):
        """The words (n, tokens) float32."""
        shifts = None
        if job.shift:
            table  = self.memory[job.act_addr + job.m*job.k:job.act_addr + job.act_bytes(self.config)]
            shifts = unpack_shifts(table, job.m, job.groups, self.config)[::2 if job.wide else 1]
        product = self._unpacked(job, product_of)
        if product is None:
            return np.ascontiguousarray(self._by_groups(job, act, shifts).T)
        sums, beyond = product(join(act) if job.wide else act, shifts)
        if beyond is not None:
            tokens = np.flatnonzero(beyond.any(axis=1))
            rows   = np.stack([2*tokens, 2*tokens + 1], axis=1).reshape(-1) if job.wide else tokens
            sums[tokens] = self._by_groups(job, act[rows], None if shifts is None else shifts[tokens])
        return np.ascontiguousarray(sums.T)

    def _by_groups(self, job, act, shifts):
        """Results (tokens, n) float32 of some rows as the contract adds them up."""
        weights = self._unpacked(job, _Planes)
        partial = self._partials(job, act)
        sums    = np.tile(row_sums(act, job.group_size), (1, job.passes))
        if shifts is not None:
            shifts = np.tile(shifts, (1, job.passes))
        if job.wide:
            partial, sums = join(partial), join(sums)
        return dequantise(partial, sums, weights.scaling, shifts)
