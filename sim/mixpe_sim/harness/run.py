# SPDX-License-Identifier: BSD-2-Clause
"""Drive a built harness: memory as a numpy array, jobs in, ended jobs out."""

import ctypes

import numpy as np

from mixpe_gateware.contract.errors import MixpeError
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.registers import RUN, counters_of
from mixpe_sim.harness.build import build_harness

ERRORS = {1: "a request outside the memory", 2: "a write command without data"}


class HarnessError(MixpeError):
    """The accelerator broke the rules of its memory ports, or did not end within the cycle limit."""


class Harness:
    """One accelerator and its memory, with the inbox behind it.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    seed : int
    stall : float
        Probability that a port or the collection of results does nothing in a cycle.
    latency_cycles : int
        Least cycles from a command to its answer.
    """

    def __init__(self, config, mem_bytes, *, seed=0, stall=0.0, latency_cycles=5, **options):
        self._open(build_harness(config, mem_bytes, **options), config, mem_bytes + config.inbox_bytes)
        self.setup(seed=seed, stall=stall, latency_cycles=latency_cycles)

    def _open(self, path, config, size):
        self._library = library = ctypes.CDLL(str(path))
        library.harness_new.restype = ctypes.c_void_p
        library.harness_memory.restype = ctypes.POINTER(ctypes.c_uint8)
        library.harness_run.restype = ctypes.c_int64
        library.harness_ended.restype = ctypes.c_uint64
        self.config = config
        self._handle = ctypes.c_void_p(library.harness_new(ctypes.c_uint64(size)))
        self.memory = np.ctypeslib.as_array(library.harness_memory(self._handle), shape=(size,))

    def setup(self, *, seed, stall, latency_cycles=5):
        """Change the random stalls from here on."""
        self._library.harness_setup(self._handle, ctypes.c_uint64(seed), ctypes.c_uint32(round(stall*65536)),
            ctypes.c_uint32(latency_cycles))

    def post(self, job):
        """Offer a job; it waits outside while the queue is full."""
        self._post(job.words())

    def _post(self, words):
        self._library.harness_post(self._handle, (ctypes.c_uint32*len(words))(*words))

    def run(self, jobs, *, limit_cycles):
        """Run until `jobs` jobs have ended.

        Returns
        -------
        list of (tag, JobCode, cycles)

        Raises
        ------
        HarnessError
            The limit is reached, or a rule of the ports is broken.
        """
        cycles = self._library.harness_run(self._handle, ctypes.c_uint64(jobs), ctypes.c_uint64(limit_cycles))
        if cycles < 0:
            raise HarnessError(f"the accelerator made {ERRORS[-cycles]}")
        ended = self.take_ended(jobs)
        if len(ended) < jobs:
            raise HarnessError(f"{len(ended)} of {jobs} jobs ended within {limit_cycles} cycles: {ended}")
        self.cycles = cycles
        return ended

    def take_ended(self, most=64):
        """Jobs that have ended and were not returned yet, at most `most`."""
        buffer = (ctypes.c_uint32*(3*max(1, most)))()
        count = self._library.harness_ended(self._handle, buffer, ctypes.c_uint64(most))
        return [(buffer[3*i], JobCode(buffer[3*i + 1]), buffer[3*i + 2]) for i in range(count)]

    def idle(self, cycles):
        """Run some cycles, whatever happens; returns nothing."""
        self._library.harness_run(self._handle, ctypes.c_uint64(1 << 62), ctypes.c_uint64(cycles))

    def reset(self):
        """Strobe the accelerator's reset; jobs not yet taken by its queue are forgotten."""
        self._library.harness_reset(self._handle)

    def events(self):
        """Sums of the counters' events since the start, by name."""
        names = counters_of(self.config.parts)
        out = (ctypes.c_uint64*len(names))()
        self._library.harness_events(self._handle, out)
        return dict(zip(names, out, strict=True))

    def registers(self):
        """What the last run of a program did, in builds with a decoder: dict of int."""
        return self._registers([register.name for register in RUN])

    def _registers(self, names):
        """Pins that can be read, in the order of the build: dict of int."""
        out = (ctypes.c_uint32*len(names))()
        self._library.harness_registers(self._handle, out)
        return dict(zip(names, out, strict=True))

    def close(self):
        if self._handle:
            self.memory = None
            self._library.harness_delete(self._handle)
            self._handle = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
