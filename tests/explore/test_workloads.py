# SPDX-License-Identifier: BSD-2-Clause
"""Equal budgets: what fits and what runs out, what weights take, and the cycle model beside the SoC's."""

import pytest

from mixpe.explore import resources, storage, workloads
from mixpe.explore.grid import DEVICE
from mixpe_gateware.baselines import DESIGNS
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.jobs import Job
from mixpe_gateware.contract.timing import memory_timing, predict


def unit(design="shift-add", **columns):
    return {"design": design, "p_lanes": 8, "device": DEVICE, "macs_per_cycle": 8, "luts": 640, "placed_luts": 720,
            "flip_flops": 400, "dsps": 0, "block_rams": 0, "fmax_mhz": 200.0, **columns}


@pytest.mark.parametrize("columns, units, limit", [
    ({}, 9, "placed LUTs"),
    ({"placed_luts": None}, 10, "LUTs"),
    ({"flip_flops": 1400}, 5, "flip-flops"),
    ({"dsps": 78}, 2, "DSP blocks"),
    ({"block_rams": 17}, 1, "block RAMs"),        # 208 · 7000/83640 = 17.4
    ({"design": "table"}, 9, "placed LUTs"),      # and one block RAM each: 17
    ({"design": "table", "luts": 64, "placed_luts": 70, "flip_flops": 40}, 17, "block RAMs"),
    ({"luts": 9000, "placed_luts": 9000}, 0, "LUTs"),
])
def test_what_runs_out_first(columns, units, limit):
    fitted = resources.fit(unit(**columns), 7000)
    assert (fitted.units, fitted.limit) == (units, limit)
    share = 512/528 if columns.get("design") == "table" else 1
    assert fitted.rate == pytest.approx(share*8*units*200e6)


def test_flip_flops_count_where_a_device_has_few():
    """Of GW2A's sites three in four have one, of 7-series each has two."""
    for device, ratio in ((DEVICE, 1), ("GW2A-18", 20736/15552), ("XC7", 0.5), ("iCE40UP5K", 1)):
        assert resources.sites(unit(device=device, flip_flops=6000)) == pytest.approx(6000*ratio)
    row = resources.priced(unit(flip_flops=1400))
    assert row["sites_per_mac"] == 175 and row["mmacs_per_s_per_site"] == pytest.approx(8*200/1400)
    assert row["placed_per_mac"] == 90
    failed = {"design": "abacus", "status": "ConfigError"}
    assert resources.priced(failed) == failed


def test_the_fastest_lanes_fill_the_budget():
    rows = [unit(p_lanes=lanes, macs_per_cycle=lanes, luts=80*lanes + 40, placed_luts=None, fmax_mhz=mhz)
            for lanes, mhz in ((4, 210.0), (8, 200.0), (32, 150.0))]
    found = resources.best_fits(rows, lambda row: row["design"], 80_000)
    assert found["shift-add"].row["p_lanes"] == 8


def test_bits_of_weights():
    """By hand, of 4096 × 4096 in groups of 128."""
    expected = {"int8": 8 + 16/4096, "qserve": 4 + 16/128 + 16/4096, "ant": 4 + 18/4096, "olive": 4 + 16/4096,
                "fp16-dequant": 4 + 16/128, "shift-add": 4 + 20/128, "table": 4 + 20/128,
                "olaccel": 5*(16*0.03 + 0.97**16) + 16/4096}
    for design, bits in expected.items():
        assert storage.bits_per_weight(design) == pytest.approx(bits, rel=1e-9), design
    for design in DESIGNS:
        assert 4 <= storage.bits_per_weight(design) < 8.1


@pytest.mark.parametrize("m, n, k", [(8, 4096, 4096), (64, 4096, 1024), (64, 1024, 4096), (8, 512, 512)])
@pytest.mark.parametrize("rows", [4, 8])
def test_the_cycle_model_is_that_of_the_soc(m, n, k, rows):
    """A budget that is the SoC's array takes its cycles, to 4 %: buffers that fill and results that wait."""
    config = Config(rows=rows)
    memory = memory_timing(config, 16.0)
    job    = Job(weights_addr=0, act_addr=0, out_addr=0, n=n, k=k, m=m, group=2, out_bytes=4*m*n, fused=True)
    fitted = resources.Fit(unit(macs_per_cycle=config.lanes), rows, "LUTs")
    ours   = workloads.product_cycles(fitted, n, k, m, memory)
    assert ours == pytest.approx(predict(job, config, memory).total, rel=0.04)


def test_speed_of_a_workload():
    """Twice the units halve what is bound by products, nothing else; a slow memory bounds a decode step."""
    one, two = (resources.Fit(unit(), units, "LUTs") for units in (64, 128))
    for name in workloads.WORKLOADS:
        assert workloads.seconds(one, name, 64, "simulator") == pytest.approx(
            2*workloads.seconds(two, name, 64, "simulator"), rel=0.1)
        assert workloads.seconds(one, name, 1, "board") == pytest.approx(
            workloads.seconds(two, name, 1, "board"), rel=0.01)
    layers, hidden = workloads.WORKLOADS["OPT-6.7B"]
    weights = layers*12*hidden**2*storage.bits_per_weight("shift-add")/8
    least   = weights/workloads.DDR3_BYTES_S
    assert least < workloads.seconds(one, "OPT-6.7B", 1, "board") < 1.2*least
    fitted = resources.fit(unit(), 7200)
    assert fitted.units == 10 and fitted.macs_per_cycle == 80 and fitted.rate == 80*200e6
