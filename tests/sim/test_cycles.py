# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of whole layers with DRAM timing: against the bare reader in the same simulation, and against the model."""

from statistics import median

import pytest

import mixpe
from mixpe.bench.cases import Case, Layer
from mixpe.bench.measure import bare_read_rate, measure
from mixpe_gateware.contract.scaling import Form

# 1 MiB of weights: 512 channels of a Llama-2-7B projection.
LAYER = Layer(model="Llama-2-7B", name="q_proj", n=4096, k=4096, n_run=512)
SMALL = Layer(model="Qwen2.5-0.5B", name="gate_proj", n=4864, k=896, n_run=256)
MODEL_DDR3, MODEL_SDR = 0.02, 0.01  # of the cycle model, as README.md and docs/boards.md promise


@pytest.fixture(scope="module")
def device():
    with mixpe.open("sim") as opened:
        yield opened


@pytest.fixture(scope="module")
def read_rate(device):
    return bare_read_rate(device)


def run(device, read_rate, layer, phase, fused=True, activations="a8"):
    case = Case(layer=layer, phase=phase, fused=fused, activations=activations)
    return measure(device, case, group_size=128, read_rate=read_rate)


def test_bare_reader(read_rate):
    assert 0.85 < read_rate < 0.92  # LiteDRAM on DDR3 x16 at 1:4, one port


def test_decode_at_the_memorys_rate(device, read_rate):
    row = run(device, read_rate, LAYER, "decode")
    assert row.stream_rate >= 0.99*read_rate
    assert row.over_ceiling <= 1.05
    assert row.busy == 512*4096//device.config.lanes
    assert abs(row.prediction_error) <= MODEL_DDR3


def test_a16_decode_takes_no_more_cycles_than_a8(device, read_rate):
    """The second row comes through the inbox. Where refreshes fall in a run is not the job's doing: medians."""
    rows = {kind: [run(device, read_rate, LAYER, "decode", activations=kind) for _ in range(5)]
            for kind in ("a8", "a16")}
    second_row_beats = LAYER.k//device.config.beat_bytes
    assert {a16.beats_in - a8.beats_in for a8, a16 in zip(*rows.values(), strict=True)} == {second_row_beats}
    a8, a16 = (median(row.cycles for row in rows[kind]) for kind in ("a8", "a16"))
    # Through the memory it was those beats more, at the stream's rate.
    assert a16 <= a8 + second_row_beats//4
    assert all(abs(row.prediction_error) <= MODEL_DDR3 for row in rows["a16"])


def test_prefill_keeps_the_array_busy(device, read_rate):
    row = run(device, read_rate, LAYER, "prefill")
    assert row.m == 4*device.config.rows
    assert row.busy_share >= 0.95
    assert abs(row.prediction_error) <= MODEL_DDR3


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("activations", ("a8", "a16"))
def test_decode_of_short_groups_at_the_memorys_rate(form, activations, device, read_rate):
    """Groups of 32 of a checkpoint: scales and minima are read beside the weights and cost their bytes alone."""
    case = Case(layer=LAYER, phase="decode", fused=True, activations=activations)
    row  = measure(device, case, group_size=32, read_rate=read_rate, form=form)
    assert row.over_ceiling <= 1.05
    assert abs(row.prediction_error) <= MODEL_DDR3


@pytest.mark.parametrize("form", Form)
def test_prefill_of_short_groups_keeps_the_array_busy(form, device, read_rate):
    """A vector a cycle needs a scaler a row: eight tiles of rows, groups of 32 on 32 lanes."""
    layer = Layer(model="part", name="of a projection", n=512, k=2048, n_run=512)
    case  = Case(layer=layer, phase="prefill", fused=True, activations="a8")
    row   = measure(device, case, group_size=32, read_rate=read_rate, form=form, tiles=8)
    assert row.m == 8*device.config.rows
    assert row.busy_share >= 0.9
    assert abs(row.prediction_error) <= MODEL_DDR3


@pytest.mark.parametrize("phase", ("decode", "prefill"))
@pytest.mark.parametrize("fused", (False, True))
def test_the_model_predicts_small_layers(phase, fused, device, read_rate):
    row = run(device, read_rate, SMALL, phase, fused=fused)
    assert abs(row.prediction_error) <= MODEL_DDR3, row


@pytest.fixture(scope="module")
def sdr():
    with mixpe.open("sim?memory=sdr") as opened:
        yield opened


@pytest.mark.parametrize("phase, k, group_size, fused", (
    ("decode",  4096, 128, True),
    ("decode",  4096, 32,  False),  # few results, one at a time
    ("prefill", 4096, 128, False),  # a channel fills the weight buffer: reads and writes meet in the last tile
    ("prefill", 3072, 128, False),
    ("prefill", 896,  64,  False),  # four beats of results for one of weights
))
def test_the_model_predicts_sdr(phase, k, group_size, fused, sdr):
    layer = Layer(model="Llama-2-7B", name="part", n=4096, k=k, n_run=64)
    case  = Case(layer=layer, phase=phase, fused=fused, activations="a8")
    row   = measure(sdr, case, group_size=group_size, read_rate=0.966)
    assert abs(row.prediction_error) <= MODEL_SDR, row
