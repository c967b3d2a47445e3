# SPDX-License-Identifier: BSD-2-Clause
"""Planned calls carried out: buffers of the jobs in flight, shared activations, results until they are taken."""

import zlib
from collections import Counter, deque
from dataclasses import replace

from mixpe.devices.jobqueue import raise_for
from mixpe.errors import DamageError, DeviceMemoryError, JobError
from mixpe_gateware.contract.jobs import JobCode, check_job


class Stage:
    """Posts the steps of calls, collects them, and owns their buffers meanwhile.

    Parameters
    ----------
    driver : Driver
    calls : list
        As `Driver.execute` takes them.
    """

    def __init__(self, driver, calls):
        self.driver   = driver
        # Activations by name: calls that were given the same array share its rows.
        self._todo    = deque((call, step, (id(call.acts), step.acts)) for call in calls for step in call.plan.steps)
        self._pending = deque()  # (job and its copies, call, step, name), oldest first
        self._acts    = {}       # activations in memory: name → [offset, jobs in flight]
        self._uses    = Counter(name for _, _, name in self._todo)  # steps that are not posted yet

    def run(self):
        """Carry out everything; after an error `drop` is to be called."""
        most = self.driver.queue.depth//self.driver.copies
        while self._todo or self._pending:
            if self._todo and len(self._pending) < most and self._post(*self._todo[0]):
                self._todo.popleft()
            else:
                self._collect()

    def drop(self):
        """Give back all buffers after an error."""
        for jobs, *_ in self._pending:
            for job in jobs:
                self.driver.memory.free(job.out_addr)
        for offset, _ in self._acts.values():
            self.driver.act_space.free(offset)
        self._pending.clear()
        self._acts.clear()

    def _post(self, call, step, name):
        """Write what a step needs and post its job. False if memory is short and jobs in flight will free some."""
        while True:
            try:
                act_addr, out_addrs = self._buffers(call, step, name)
                break
            except DeviceMemoryError:
                if self._free_idle():
                    continue  # ends: buffers that are not had leave no activations behind
                if not self._pending:
                    raise
                return False
        driver = self.driver
        jobs   = []
        for out_addr in out_addrs:
            jobs.append(replace(step.job, weights_addr=call.addrs[step.slab] + step.job.weights_addr,
                act_addr=act_addr, out_addr=out_addr))
        self._pending.append((jobs, call, step, name))
        self._acts[name][1] += 1
        self._uses[name] -= 1
        for job in jobs:
            code = check_job(job, driver.config, driver.mem_bytes)
            if code:
                raise JobError(f"a job of m={job.m}, n={job.n}, k={job.k} cannot run on {driver.config.name}: "
                    f"{code.name}", code)
            driver.queue.post(job)
            driver.streamed_bytes += step.weight_bytes
        return True

    def _buffers(self, call, step, name):
        """Offsets of a step's activations, written if they are not there yet, and of its results; all or none."""
        driver = self.driver
        if name in self._acts:
            return self._acts[name][0], driver.memory.allocate_each(step.job.out_bytes, driver.copies)
        image    = call.acts.image(step.acts, driver.config)
        act_addr = driver.act_space.allocate(step.act_bytes)
        try:
            out_addrs = driver.memory.allocate_each(step.job.out_bytes, driver.copies)
        except DeviceMemoryError:
            driver.act_space.free(act_addr)
            raise
        self._acts[name] = [act_addr, 0]
        try:
            driver.transfer.upload(act_addr, image, driver.verify == "all")
        except BaseException:
            for out_addr in out_addrs:
                driver.memory.free(out_addr)
            raise
        return act_addr, out_addrs

    def _collect(self):
        """Wait for the oldest job and hand its results on."""
        driver = self.driver
        jobs, call, step, name = self._pending[0]
        for job in jobs:
            done = driver.queue.collect()
            if done.code != JobCode.OK:
                raise_for(job, done)
        *copies, job = jobs
        raw = driver.transfer.download(job.out_addr, job.out_bytes, driver.verify == "all")
        if copies:
            self._compare(raw, copies, call.name)
        call.take(step, raw)
        self._pending.popleft()
        for job in jobs:
            driver.memory.free(job.out_addr)
        self._acts[name][1] -= 1
        if not self._acts[name][1] and not self._uses[name]:
            driver.act_space.free(self._acts.pop(name)[0])

    def _compare(self, raw, copies, name):
        """See that copies of a job have the results that were read: these need not be read, but for their checksum.

        Raises
        ------
        DamageError
        """
        driver = self.driver
        for job in copies:
            if driver.transfer.checksum(job.out_addr, job.out_bytes) != zlib.crc32(raw):
                raise DamageError(f"the results of {name} were not the same twice: the device {driver.url} computed or "
                    "kept one of them wrong, or its link damaged one; call it again", (name,))

    def _free_idle(self):
        """Give back activations that no job in flight reads; later steps write them again. True if there were any."""
        idle = [name for name, (_, jobs) in self._acts.items() if not jobs]
        for name in idle:
            self.driver.act_space.free(self._acts.pop(name)[0])
        return bool(idle)
