# SPDX-License-Identifier: BSD-2-Clause
"""Posting jobs to the accelerator and collecting them, in order, with a limit on every wait."""

import secrets
import time
from collections import deque
from dataclasses import dataclass, replace

from mixpe.devices.bank import MARK, POLL_S_MAX
from mixpe.devices.run import Run
from mixpe_gateware.contract.descriptor import fold_words
from mixpe_gateware.contract.errors import DeviceError, JobError, LinkError
from mixpe_gateware.contract.jobs import JobCode, check_job, in_inbox
from mixpe_gateware.contract.registers import (
    CONTROL_RESET,
    JOB,
    JOB_CHECK,
    OFFSETS,
    STATUS_ENDED,
    STATUS_OVERRUN,
    STATUS_POSTED,
)
from mixpe_gateware.contract.timing import memory_timing, predict

# One burst reads everything from `status` to `done_cycles`: a round trip costs more than the words between.
LONG_S      = 0.05  # of a wait
POLL_SHARE  = 32    # of a long wait, from one look to the next
BURST_WORDS = (OFFSETS["done_cycles"] - OFFSETS["status"])//4 + 1
BURST_DONE  = (OFFSETS["done_tag"] - OFFSETS["status"])//4
TAG_LIMIT   = 1 << 32


@dataclass(frozen=True)
class Done:
    """How a job ended: its JobCode and, in cycles, how long it took."""

    code: JobCode
    cycles: int


def predicted_cycles(job, config, mem_bytes):
    """Cycles that a job takes by `contract.timing`, on memory as fast as a simulated one; of a Run, its limit."""
    if isinstance(job, Run):
        return job.limit_cycles
    if check_job(job, config, mem_bytes):
        return 0  # refused at once; its sizes mean nothing
    return predict(job, config, memory_timing(config), inbox=in_inbox(job, mem_bytes)).total


class JobQueue:
    """The accelerator's queue as the host sees it.

    Parameters
    ----------
    bank : RegisterBank
    rate_hz : float
        Device cycles a second of real time, at the least; the limits of waits follow from it.
    floor_s : float
        Shortest limit of a wait.
    verify : bool
        Read the check word of each descriptor after posting it.
    """

    def __init__(self, bank, *, rate_hz, floor_s, verify):
        self.bank    = bank
        self.depth   = bank.config.queue_depth
        self.rate_hz = rate_hz
        self.floor_s = floor_s
        self.verify  = verify
        self._posted = deque()  # jobs with their tags, oldest first
        self._tag    = secrets.randbelow(TAG_LIMIT)  # jobs of an earlier session are none of this one's

    @property
    def level(self):
        """Jobs posted and not collected."""
        return len(self._posted)

    def limit_s(self, cycles):
        """Longest wait for something that takes so many cycles."""
        return self.floor_s + 4*cycles/self.rate_hz

    def _cycles(self, job):
        return predicted_cycles(job, self.bank.config, self.bank.identity["mem_bytes"])

    def post(self, job):
        """Post a job as it is, unchecked; its tag is set here.

        Raises
        ------
        DeviceError
            The queue is full, or the descriptor arrived damaged (with `verify`).
        """
        if self.level >= self.depth:
            raise DeviceError(f"the queue holds {self.depth} jobs; collect one first")
        self._tag = (self._tag + 1) % TAG_LIMIT
        job = replace(job, tag=self._tag)
        words = job.words()
        self.bank.write(JOB[0].name, *words)
        self._posted.append(job)
        if self.verify:
            found, sent = self.bank.read(JOB_CHECK.name), fold_words(words)
            if found != sent:
                raise LinkError(f"a descriptor arrived damaged: its check word is 0x{sent:08x}, the device has "
                                f"0x{found:08x}")

    def collect(self):
        """Wait for the oldest job and take its result off the queue.

        Returns
        -------
        Done

        Raises
        ------
        JobError
            It did not end within its limit, or was dropped. The queue needs a `reset` then.
        DeviceError
            The device answers for another job, or is not ours any more.
        """
        job = self._posted[0]
        limit_s = self.limit_s(sum(self._cycles(each) for each in self._posted))
        start, waited_s = time.monotonic(), 0.0
        while True:
            # One request brings the end of a job with what it says. A long one is asked about rarely, in a word.
            words  = self.bank.read("status", BURST_WORDS) if waited_s < LONG_S else [self.bank.read("status")]
            status = words[0]
            waited_s = time.monotonic() - start
            if len(words) > MARK:
                self.bank.check_mark(words)
            if STATUS_ENDED.of(status):
                break
            level = STATUS_POSTED.of(status)
            if level < self.level:
                self.bank.check_mark(self.bank.read("status", MARK + 1))
                raise JobError(f"the device holds {level} jobs, not the {self.level} that were posted: "
                    f"{'its queue overran' if status & STATUS_OVERRUN else 'a descriptor was lost on the link'}")
            if waited_s > limit_s:
                raise JobError(f"{job} did not end within {limit_s:.3g} s")
            time.sleep(min(max(POLL_S_MAX, waited_s/POLL_SHARE), waited_s/8))
        if len(words) == 1:
            words = self.bank.read("status", BURST_WORDS)
            self.bank.check_mark(words)
        tag, code, cycles = words[BURST_DONE:BURST_DONE + 3]
        if tag != job.tag:
            raise DeviceError(f"the device ended the job with tag {tag}, the oldest one posted has tag {job.tag}")
        self.bank.write("done_collect", tag)
        self._posted.popleft()
        try:
            return Done(JobCode(code), cycles)
        except ValueError:
            raise DeviceError(f"the device ended a job with code {code}, which this contract does not have") from None

    def reset(self):
        """Abort everything and take all results off the queue, whatever was posted by whom.

        Raises
        ------
        DeviceError
            The device does not come to rest within the limit.
        """
        self._posted.clear()
        self.bank.write("control", CONTROL_RESET)
        start = time.monotonic()
        while True:
            words  = self.bank.read("status", BURST_WORDS)
            status = words[0]
            ended, level = STATUS_ENDED.of(status), STATUS_POSTED.of(status)
            if ended:
                self.bank.write("done_collect", words[BURST_DONE])
            elif not level:
                return
            waited_s = time.monotonic() - start
            if waited_s > self.floor_s:
                raise DeviceError(f"the device does not come to rest: {level} jobs are still in it "
                    f"{self.floor_s:g} s after a reset")
            if not ended:
                time.sleep(min(POLL_S_MAX, waited_s/8))


def raise_for(job, done):
    """Raise what a job's end code says.

    Raises
    ------
    JobError
    """
    if done.code != JobCode.OK:
        raise JobError(f"the device refused a job of m={job.m}, n={job.n}, k={job.k}: {done.code.text} "
            f"(code {done.code.value})", done.code)
