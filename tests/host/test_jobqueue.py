# SPDX-License-Identifier: BSD-2-Clause
"""How often the host asks for the end of a job: at once, then in a word, and more rarely the longer it takes."""

import time

import pytest

from mixpe.devices.bank import MARK
from mixpe.devices.jobqueue import BURST_DONE, BURST_WORDS, LONG_S, JobQueue
from mixpe.devices.run import Run
from mixpe.errors import JobError
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.registers import STATUS_ENDED, STATUS_POSTED

RUN = Run(program_addr=0, tokens_addr=0, state_addr=0, state_bytes=0, token=1, position=0, identity=0, count=1,
    prompt=False, listed=False, more=False, limit_cycles=1000)


class Bank:
    """Registers of a device whose job ends after a while."""

    config   = Config(decoder=True)
    identity = {"mem_bytes": 1 << 20}

    def __init__(self, seconds):
        self.end   = time.monotonic() + seconds
        self.asked = []  # words of each request for the status
        self.tag   = None

    def read(self, name, count=1):
        assert name == "status"
        self.asked.append(count)
        ended = time.monotonic() >= self.end
        words = [STATUS_POSTED.put(1) | STATUS_ENDED.put(int(ended)), *[0]*(BURST_WORDS - 1)]
        words[BURST_DONE:BURST_DONE + 3] = self.tag, JobCode.OK, 77
        return words[0] if count == 1 else words[:count]

    def check_mark(self, words):
        assert len(words) > MARK  # the device is still ours

    def write(self, name, *values):
        if name == "job_op":
            self.tag = values[-1]


def queue_of(seconds, floor_s=5.0):
    bank  = Bank(seconds)
    queue = JobQueue(bank, rate_hz=1e9, floor_s=floor_s, verify=False)
    queue.post(RUN)
    return bank, queue


def test_a_short_job_takes_one_request():
    bank, queue = queue_of(0)
    done = queue.collect()
    assert (done.code, done.cycles) == (JobCode.OK, 77) and bank.asked == [BURST_WORDS] and not queue.level


def test_a_long_job_is_asked_about_in_words_and_rarely():
    bank, queue = queue_of(20*LONG_S)
    assert queue.collect().cycles == 77
    assert bank.asked[0] == bank.asked[-1] == BURST_WORDS
    words = bank.asked.count(1)
    assert 5 < words < 200 and bank.asked.count(BURST_WORDS) < 60


def test_a_job_that_does_not_end_has_its_limit():
    _, queue = queue_of(60, floor_s=3*LONG_S)
    with pytest.raises(JobError, match="a run of 1 tokens from position 0 did not end within"):
        queue.collect()
