# SPDX-License-Identifier: BSD-2-Clause
"""Buffers of the jobs in flight: activations that jobs share, and results until they are taken."""

from collections import deque
from dataclasses import replace

from mixpe.devices.jobqueue import raise_for
from mixpe.errors import DeviceMemoryError, JobError
from mixpe_gateware.contract.jobs import check_job


class Stage:
    """Posts tasks, collects them, and owns their buffers meanwhile.

    Parameters
    ----------
    device : Device
    uses : collections.Counter
        How many tasks have each key of activations.
    """

    def __init__(self, device, uses):
        self.device  = device
        self.pending = deque()  # (job, offset of its results, task), oldest first
        self._uses   = uses     # tasks, by activations, that are not posted yet
        self._acts   = {}       # activations in memory: key → [offset, jobs in flight]

    def post(self, task):
        """Write what a task needs and post its job. False if memory is short and jobs in flight will free some."""
        while True:
            try:
                self._post(task)
                return True
            except DeviceMemoryError:
                if self._free_idle():
                    continue  # ends: a post that fails leaves no activations behind
                if not self.pending:
                    raise
                return False

    def collect(self):
        """Wait for the oldest job and hand its results on."""
        job, out_addr, task = self.pending[0]
        done = self.device.queue.collect()
        raise_for(job, done)
        task.take(self.device.transfer.download(out_addr, job.out_bytes, self.device.verify == "all"))
        self.pending.popleft()
        self._release(out_addr, task.act_key)

    def drop(self):
        """Give back all buffers after an error."""
        for _, out_addr, _ in self.pending:
            self.device.memory.free(out_addr)
        for offset, _ in self._acts.values():
            self.device.free_activations(offset)
        self.pending.clear()
        self._acts.clear()

    def _post(self, task):
        config = self.device.config
        size   = task.job.result_bytes(config)
        act_addr, out_addr = self._buffers(task, size)
        job = replace(task.job, act_addr=act_addr, out_addr=out_addr, out_bytes=size)
        self.pending.append((job, out_addr, task))
        self._acts[task.act_key][1] += 1
        self._uses[task.act_key] -= 1
        code = check_job(job, config, self.device.mem_bytes)
        if code:
            raise JobError(f"a job of m={job.m}, n={job.n}, k={job.k} cannot run on {config.name}: {code.name}", code)
        self.device.queue.post(job)
        self.device.streamed_bytes += job.weight_bytes(config)

    def _buffers(self, task, size):
        """Offsets of a task's activations, written if they are not there yet, and of its results; both or none."""
        memory = self.device.memory
        if task.act_key in self._acts:
            return self._acts[task.act_key][0], memory.allocate(size, top=True)
        image    = task.act_image()
        act_addr = self.device.allocate_activations(image.size)
        try:
            out_addr = memory.allocate(size, top=True)
        except DeviceMemoryError:
            self.device.free_activations(act_addr)
            raise
        self._acts[task.act_key] = [act_addr, 0]
        try:
            if act_addr < self.device.mem_bytes:
                self.device.transfer.upload(act_addr, image, self.device.verify == "all")
            else:
                self.device.transfer.write(act_addr, image)
        except BaseException:
            memory.free(out_addr)
            raise
        return act_addr, out_addr

    def _release(self, out_addr, key):
        self.device.memory.free(out_addr)
        self._acts[key][1] -= 1
        if not self._acts[key][1] and not self._uses[key]:
            self.device.free_activations(self._acts.pop(key)[0])

    def _free_idle(self):
        """Give back activations that no job in flight reads; later tasks write them again. True if there were any."""
        idle = [key for key, (_, jobs) in self._acts.items() if not jobs]
        for key in idle:
            self.device.free_activations(self._acts.pop(key)[0])
        return bool(idle)
