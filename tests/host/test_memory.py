# SPDX-License-Identifier: BSD-2-Clause
"""Allocation of the device's memory."""

import numpy as np
import pytest

from mixpe.devices.memory import Allocator
from mixpe.errors import DeviceMemoryError
from mixpe.plan.cut import ALIGN_BYTES
from mixpe.terminal import size_text


def test_weights_from_the_bottom_buffers_from_the_top():
    memory = Allocator(4096)
    assert memory.allocate(100) == 0
    assert memory.allocate(100) == 128
    assert memory.allocate(100, top=True) == 4096 - 128
    assert memory.allocate(1, top=True) == 4096 - 192
    assert memory.free_bytes == 4096 - 3*128 - 64


def test_exactly_full_and_one_more():
    memory = Allocator(4096 + 63)
    start = memory.allocate(4096)
    assert memory.free_bytes == 0
    with pytest.raises(DeviceMemoryError, match="64 bytes do not fit.*4 KiB: 0 bytes free"):
        memory.allocate(1)
    memory.free(start)
    assert memory.allocate(4096, top=True) == 0


def test_some_at_once_are_all_or_none():
    memory = Allocator(4096)
    found  = memory.allocate_each(1024, 3)
    assert len(set(found)) == 3 and memory.free_bytes == 1024
    with pytest.raises(DeviceMemoryError):
        memory.allocate_each(512, 3)
    assert memory.free_bytes == memory.largest_bytes == 1024
    assert memory.allocate_each(64, 0) == []


def test_pieces_are_named():
    memory = Allocator(4096)
    parts = [memory.allocate(1024) for _ in range(4)]
    memory.free(parts[0])
    memory.free(parts[2])
    with pytest.raises(DeviceMemoryError, match="2 KiB free, the largest piece 1 KiB"):
        memory.allocate(2048)
    memory.free(parts[1])
    assert memory.allocate(3072) == 0


def test_a_region_is_freed_once():
    memory = Allocator(4096)
    start = memory.allocate(64)
    memory.free(start)
    with pytest.raises(KeyError):
        memory.free(start)


@pytest.mark.parametrize("seed", range(5))
def test_regions_never_overlap(seed):
    rng = np.random.default_rng(seed)
    memory, owners, live = Allocator(1 << 16), np.zeros(1 << 16, int), {}
    for step in range(1, 600):
        if live and rng.random() < 0.45:
            start = list(live)[rng.integers(len(live))]
            owners[start:start + live.pop(start)] = 0
            memory.free(start)
            continue
        size = int(rng.integers(1, 4000))
        try:
            start = memory.allocate(size, top=bool(rng.integers(2)))
        except DeviceMemoryError:
            continue
        assert start % ALIGN_BYTES == 0 and not owners[start:start + size].any()
        owners[start:start + size] = step
        live[start] = size
    for start in live:
        memory.free(start)
    assert memory.free_bytes == 1 << 16 and memory.allocate(1 << 16) == 0


@pytest.mark.parametrize("size, text", [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 << 30, "3 GiB")])
def test_sizes_are_readable(size, text):
    assert size_text(size) == text
