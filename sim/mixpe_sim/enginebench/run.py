# SPDX-License-Identifier: BSD-2-Clause
"""Drive a verilated engine: memory as a numpy array, a record at a time."""

import ctypes

import numpy as np

from mixpe_gateware.contract.jobs import JobCode
from mixpe_sim.enginebench.build import build_bench
from mixpe_sim.harness.run import ERRORS, HarnessError


class EngineBench:
    """An engine and its memory.

    Parameters
    ----------
    opcode : Opcode
    config : Config
    mem_bytes : int
    seed : int
    stall : float
        Probability that a port does nothing in a cycle.
    latency_cycles : int
        Least cycles from a command to its answer.
    """

    def __init__(self, opcode, config, mem_bytes, *, seed=0, stall=0.0, latency_cycles=5):
        self._library = library = ctypes.CDLL(str(build_bench(opcode, config, mem_bytes)))
        library.bench_new.restype = ctypes.c_void_p
        library.bench_memory.restype = ctypes.POINTER(ctypes.c_uint8)
        library.bench_run.restype = library.bench_abort.restype = ctypes.c_int64
        self.config  = config
        self._handle = ctypes.c_void_p(library.bench_new(ctypes.c_uint64(mem_bytes)))
        self.memory  = np.ctypeslib.as_array(library.bench_memory(self._handle), shape=(mem_bytes,))
        self.cycles = self.writes = 0
        self.setup(seed=seed, stall=stall, latency_cycles=latency_cycles)

    def setup(self, *, seed, stall, latency_cycles=5):
        """Change the random stalls from here on."""
        self._library.bench_setup(self._handle, ctypes.c_uint64(seed), ctypes.c_uint32(round(stall*65536)),
            ctypes.c_uint32(latency_cycles))

    def run(self, record, *, low, high, limit_cycles=100_000):
        """Run a record whose results may be written from byte `low` to `high`.

        Returns
        -------
        code : JobCode, or None where it did not end within the limit
        choice : int or None

        Raises
        ------
        HarnessError
            A rule of the ports is broken.
        """
        words, result = (ctypes.c_uint32*16)(*record), (ctypes.c_int64*3)(-1, -1, 0)
        beat   = self.config.beat_bytes
        cycles = self._library.bench_run(self._handle, words, ctypes.c_uint32(low//beat), ctypes.c_uint32(high//beat),
            ctypes.c_uint64(limit_cycles), result)
        if cycles < 0:
            raise HarnessError(f"the engine made {ERRORS[-cycles]}")
        self.cycles, self.writes = cycles, result[2]
        return (None if result[0] < 0 else JobCode(result[0])), (None if result[1] < 0 else result[1])

    def abort(self):
        """Abort and reset the engine; returns the cycles that it took to be quiet, −1 where it was not."""
        return self._library.bench_abort(self._handle)

    def close(self):
        if self._handle:
            self.memory = None
            self._library.bench_delete(self._handle)
            self._handle = None
