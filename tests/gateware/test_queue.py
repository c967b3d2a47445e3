# SPDX-License-Identifier: BSD-2-Clause
"""Job queue against a Python deque: words in any order and twice, a full queue, wrap-around."""

from collections import deque

import pytest

from mixpe_gateware.control.queue import SLOT_WORDS, JobQueue


@pytest.mark.parametrize("depth", (2, 4, 16))
@pytest.mark.parametrize("pauses", (0.0, 0.4))
def test_descriptors_come_out_in_order(depth, pauses, seeded, simulate):
    """The next descriptor is written while `depth` of them wait; posted when there is a place."""
    rng, dut = seeded(depth), JobQueue(depth)
    jobs, waiting, most, wrong = 5*depth, deque(), [0], []

    def write():
        for _ in range(jobs):
            # Twice each, the last value counts; the last word comes with `post`.
            order = list(rng.permutation(2*list(range(SLOT_WORDS))))
            job = {}
            for place, word in enumerate(order):
                final = place == len(order) - 1
                while rng.random() < pauses or final and len(waiting) == depth:
                    yield dut.word.eq(int(rng.integers(SLOT_WORDS)))
                    yield dut.data.eq(int(rng.integers(1 << 32)))
                    yield
                job[int(word)] = int(rng.integers(1 << 32))
                yield dut.word.eq(int(word))
                yield dut.data.eq(job[int(word)])
                yield dut.write.eq(1)
                yield dut.post.eq(int(final))
                if final:
                    waiting.append(job)
                    most[0] = max(most[0], len(waiting))
                yield
                yield dut.write.eq(0)
                yield dut.post.eq(0)

    def read():
        for count in range(jobs):
            while count < depth and len(waiting) < depth and len(waiting) + count < jobs:
                yield  # first let it fill
            while not (yield dut.valid):
                yield
            for index in rng.permutation(SLOT_WORDS):
                yield dut.index.eq(int(index))
                yield
                yield dut.index.eq(int(rng.integers(SLOT_WORDS)))
                yield
                if (yield dut.value) != waiting[0][int(index)]:
                    wrong.append((count, int(index)))
            yield dut.pop.eq(1)
            yield
            yield dut.pop.eq(0)
            waiting.popleft()
            yield
            assert not (yield dut.valid), "valid stays for a job that was popped"

    simulate(dut, write(), read(), limit_cycles=100_000)
    assert most == [depth] and not waiting
    assert not wrong, f"{len(wrong)} words are wrong; the first of job {wrong[0][0]}, word {wrong[0][1]}"


def test_latency_from_post_to_valid(simulate):
    dut, seen = JobQueue(2), []

    def drive():
        for _ in range(5):
            yield dut.post.eq(1)
            for _ in range(3):
                yield
                yield dut.post.eq(0)
                seen.append((yield dut.valid))
            yield dut.pop.eq(1)
            yield
            yield dut.pop.eq(0)
            yield
            yield

    simulate(dut, drive())
    assert seen == [0, 0, 1]*5
