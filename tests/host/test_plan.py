# SPDX-License-Identifier: BSD-2-Clause
"""A layer cut into jobs without a device: every product is in exactly one job, and every job is one that runs."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import mixpe
from mixpe.bench.board import GenerationModel
from mixpe.bench.models import Shape
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, DeviceMemoryError
from mixpe.plan.cut import ALIGN_BYTES
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.quant.checks import group_span
from mixpe_boards.registry import BOARDS
from mixpe_gateware.contract.config import PORT_BITS, Config
from mixpe_gateware.contract.jobs import JobCode, check_job
from mixpe_gateware.contract.scaling import Form

ROOMY = 1 << 30


def random_plan(seed):
    rng    = np.random.default_rng(seed)
    config = Config(rows=int(rng.choice([1, 2, 4, 8, 16])), port_bits=int(rng.choice(PORT_BITS)), scalers=1,
        k_max=int(rng.choice([512, 1024, 4096])), buffer_beats=int(rng.choice([64, 1024])),
        fused=bool(rng.integers(4)))
    form   = Form(int(rng.integers(3))) if config.fused else Form.ZERO
    config = replace(config, minima=form != Form.ZERO)
    k      = int(rng.choice([1, 33, 128, 500, 1100, 2100, 4000]))
    size   = 32 if form == Form.TWO_LEVEL else [32, 64, 128, 256, None][rng.integers(5)]
    shape  = LayerShape(n=int(rng.integers(1, 200)), k=k, span=group_span(size, k), planes=int(rng.choice([1, 2])),
        form=form)
    return LayerPlan(shape, config, wide=bool(rng.integers(2)), shift=bool(rng.integers(2))), rng


@pytest.mark.parametrize("seed", range(60))
def test_every_product_is_in_one_job(seed):
    layer, rng = random_plan(seed)
    tokens, raw = int(rng.integers(1, 40)), bool(rng.integers(2))
    results = int(rng.choice([16 << 10, 1 << 20]))
    room = int(rng.choice([64 << 10, ROOMY]))
    plan = layer.call(tokens, raw=raw, out_bytes_max=results, room_bytes=room)
    each = plan.rows_per_token
    assert each == (2 if layer.wide and not raw else 1)
    met  = np.zeros((each*tokens, layer.n, layer.k_padded//32), int)
    done = np.zeros((tokens, layer.n), int)
    for step in plan.steps:
        met[step.acts.start:step.acts.stop, step.channels, step.acts.k_start//32:step.acts.k_stop//32] += 1
        assert each*step.tokens.start <= step.acts.start and step.acts.stop <= each*step.tokens.stop
        if step.last:
            assert (met[each*step.tokens.start:each*step.tokens.stop, step.channels] == 1).all()
            done[step.tokens, step.channels] += 1
    assert (met == 1).all() and (done == 1).all()


@pytest.mark.parametrize("seed", range(60))
def test_every_job_runs_wherever_its_buffers_lie(seed):
    """Checked as the gateware checks it, in a memory of just the streams and its two buffers."""
    layer, rng = random_plan(seed)
    results, room = int(rng.choice([16 << 10, 1 << 20])), int(rng.choice([64 << 10, ROOMY]))
    plan   = layer.call(int(rng.integers(1, 40)), out_bytes_max=results, room_bytes=room)
    starts, ends = np.cumsum([0, *layer.stream_bytes]).tolist(), {}
    for step in plan.steps:
        job     = step.job
        assert job.weights_addr == ends.get((step.acts, step.channels.start), 0)  # channels follow each other
        ends[step.acts, step.channels.stop] = end = job.weights_addr + job.weight_bytes(layer.config)
        assert end <= layer.stream_bytes[step.slab] and step.weight_bytes == job.weight_bytes(layer.config)
        assert step.act_bytes == job.act_bytes(layer.config) and job.out_bytes == job.result_bytes(layer.config)
        act     = -(-starts[-1]//ALIGN_BYTES)*ALIGN_BYTES
        out     = act + -(-step.act_bytes//ALIGN_BYTES)*ALIGN_BYTES
        placed  = replace(job, weights_addr=starts[step.slab] + job.weights_addr, act_addr=act, out_addr=out)
        assert (job.wide, job.shift) == ((layer.wide, layer.shift) if plan.fused else (False, False))
        assert check_job(placed, layer.config, out + job.out_bytes) == JobCode.OK
        assert job.out_bytes <= results or job.m == plan.rows_per_token


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_fits_the_room_that_there_is(seed):
    """Buffers of one job fit together, and a plan that says what room it wants is that plan in any larger one."""
    layer, rng = random_plan(seed)
    tokens = int(rng.integers(1, 60))
    roomy  = layer.call(tokens, out_bytes_max=1 << 20, room_bytes=ROOMY)
    assert layer.call(tokens, out_bytes_max=1 << 20, room_bytes=roomy.room_bytes) is roomy
    for room in (12 << 10, 24 << 10, 96 << 10):
        plan = layer.call(tokens, out_bytes_max=1 << 20, room_bytes=room)
        for step in plan.steps:
            least = step.job.m <= plan.rows_per_token and step.job.n <= 8  # there is nothing left to cut
            assert least or step.act_bytes + step.job.out_bytes <= room


def test_plans_are_made_once():
    layer, _ = random_plan(0)
    plans = [layer.call(tokens, out_bytes_max=1 << 20, room_bytes=room) for tokens in (1, 2, 1) for room in (64 << 10,
        ROOMY)]
    assert plans[0] is plans[4] and plans[1] is plans[5] and plans[0].tokens == 1 and plans[2].tokens == 2


def test_no_tokens_are_no_jobs():
    layer, _ = random_plan(1)
    assert layer.call(0, out_bytes_max=1 << 20, room_bytes=ROOMY).steps == ()


@pytest.mark.parametrize("planes", [1, 2])
@pytest.mark.parametrize("k_max", [512 << index for index in range(6)])
def test_two_levels_are_cut_where_a_superblock_ends(k_max, planes):
    shape = LayerShape(n=8, k=40000, span=32, planes=planes, form=Form.TWO_LEVEL)
    slabs = LayerPlan(shape, Config(k_max=k_max, minima=True)).slabs
    assert len(slabs) > 1 and not any(slab.start % 256 or slab.k % 256 for slab in slabs)


def test_what_cannot_be_is_refused():
    shape = LayerShape(n=8, k=4096, span=128)
    with pytest.raises(ConfigError, match="cannot dequantise k=4096 with a8 .*k_max 512"):
        LayerPlan(shape, Config(k_max=512), fused=True)
    with pytest.raises(ConfigError, match="with a16 .*rows 1,"):
        LayerPlan(shape, Config(rows=1, scalers=1), wide=True, shift=True, fused=True)
    with pytest.raises(ConfigError, match="without minima .*a real minimum a group; .*minima=True"):
        LayerPlan(replace(shape, form=Form.MINIMUM), Config())
    with pytest.raises(ConfigError, match="with a8g .*k_max 512"):
        LayerPlan(shape, Config(k_max=512), shift=True, fused=True)
    with pytest.raises(ConfigError, match="result buffer of 31 bytes is too small for eight channels of 1 words"):
        LayerPlan(shape, Config()).call(1, out_bytes_max=31, room_bytes=ROOMY)


@pytest.mark.parametrize("activations", ["a8", "a8g", "a16"])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("m, n, k", [(1, 64, 256), (40, 100, 700)])
def test_a_device_posts_the_plan(monkeypatch, activations, fused, m, n, k):
    """Step by step, with the addresses of its buffers added; activations that steps share lie in one place."""
    rng = np.random.default_rng(n)
    with mixpe.open("reference", mem_bytes=1 << 20) as device:
        driver_of(device).memory.allocate(4096)
        layer = device.load(mixpe.quantize(rng.standard_normal((n, k)).astype(np.float32)), activations, fused)
        plan  = layer.plan.call(m, out_bytes_max=driver_of(device).out_bytes_max,
            room_bytes=driver_of(device).memory.largest_bytes)
        jobs, post = [], driver_of(device).queue.post
        monkeypatch.setattr(driver_of(device).queue, "post", lambda job: (jobs.append(job), post(job)))
        layer(rng.standard_normal((m, k)).astype(np.float32))
        places = {}
        for job, step in zip(jobs, plan.steps, strict=True):
            assert job.weights_addr == layer.addrs[step.slab] + step.job.weights_addr
            assert replace(job, weights_addr=step.job.weights_addr, act_addr=0, out_addr=0) == step.job
            assert places.setdefault(step.acts, job.act_addr) == job.act_addr
        assert driver_of(device).streamed_bytes == sum(step.weight_bytes for step in plan.steps)


@pytest.mark.parametrize("name, activations", [("ulx3s", "a8"), ("ulx3s", "a8g"), ("ecpix5", "a16"),
    ("icebreaker", "a8")])
def test_a_board_is_modelled_by_the_plan_of_its_device(name, activations):
    """The bench cuts a shape as a device of the same configuration cuts a loaded matrix."""
    board = BOARDS[name]
    model = GenerationModel(board, results={}, activations=activations)
    with mixpe.open("reference", **board.config.to_dict()) as device:
        loaded = device.load(mixpe.quantize(np.ones((48, 700), np.float32)), activations).plan
    planned = model.plan(Shape("layer", 48, 700, 1))
    assert (planned.slabs, planned.stream_bytes, planned.fused) == (loaded.slabs, loaded.stream_bytes, loaded.fused)
    calls = [layer.call(5, out_bytes_max=1 << 20, room_bytes=ROOMY).steps for layer in (planned, loaded)]
    assert calls[0] == calls[1]


def test_no_room_for_one_token_of_two_rows():
    """Memory so short that not even one row fits: the allocator's own message, and nothing stays behind."""
    w = np.random.default_rng(0).standard_normal((8, 4096)).astype(np.float32)
    with mixpe.open("reference", mem_bytes=20 << 10) as device:
        layer = device.load(mixpe.quantize(w), "a16")
        free  = driver_of(device).memory.free_bytes
        assert layer.fused
        for tokens in (1, 3):
            with pytest.raises(DeviceMemoryError, match="8.062 KiB do not fit"):
                layer(np.ones((tokens, 4096), np.float32))
        assert driver_of(device).memory.free_bytes == free


def files_of(call):
    """Files of the package in the order in which a call enters functions of theirs."""
    package, files = str(Path(mixpe.__file__).parent), []

    def enter(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(package):
            files.append(Path(frame.f_code.co_filename).relative_to(package).as_posix())

    sys.setprofile(enter)
    try:
        call()
    finally:
        sys.setprofile(None)
    return files


@pytest.mark.parametrize("m", [1, 8])
def test_a_call_is_short(m):
    """A layer that was called before is not planned again, and who reads a call goes from file to file seldom."""
    rng = np.random.default_rng(m)
    x   = rng.standard_normal((m, 1024)).astype(np.float32)
    with mixpe.open("reference") as device:
        layer  = device.load(mixpe.quantize(rng.standard_normal((64, 1024)).astype(np.float32)))
        first  = files_of(lambda: layer(x))
        second = files_of(lambda: layer(x))
    assert "plan/call.py" in first and "plan/call.py" not in second
    assert 1 + sum(one != other for one, other in pairwise(second)) <= 37
