# SPDX-License-Identifier: BSD-2-Clause
"""Prove that two modules compute the same, with Yosys' SAT solver and the family's cell models.

Small modules go to the solver as a whole (`prove_equal`): a pipeline without feedback is equal to another when,
whatever is in its registers at first, both give equal outputs once `latency` cycles have passed.

Whole units with their accumulators would be too much at once. They are cut at their registers (`prove_units_equal`):
both versions have the same registers by name, since they differ in adders only. Each bit of a register or output is
proved equal from equal registers before it, and what that does not show, by induction over the cycles.
"""

import re

from migen.fhdl import verilog

from mixpe.explore.cost.cache import default_folder
from mixpe.tools import ToolCrash, run_tool
from mixpe.tools.yowasp import scratch_folder

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
    cycles = f"-seq {latency + 1} -prove-skip {latency}" if latency else ""
    proof = f"sat -verify {cycles} -prove trigger 0 -show-inputs -show-outputs miter"
    script = ("proc; flatten -wb; async2sync; opt_clean; "
              "miter -equiv -flatten -make_outputs -ignore_gold_x gold gate miter; "
              f"hierarchy -top miter; {proof}")
    return _prove(make, family, script, limit_s)


def prove_units_equal(make, family="ecp5", limit_s=600):
    """Prove `make("portable")` equal to `make(family)`, register by register; parameters and errors as `prove_equal`.

    Returns
    -------
    int
        Bits of registers and outputs that were proved.
    """
    script = ("proc; memory; flatten -wb; opt_expr; opt_clean; equiv_make gold gate equiv; hierarchy -top equiv; "
              "opt_clean; equiv_simple -undef; equiv_induct -undef; equiv_status -assert")
    output = _prove(make, family, script, limit_s)
    return int(re.findall(r"Of those cells (\d+) are proven and 0 are unproven", output)[-1])


def _prove(make, family, script, limit_s):
    """Run a script on the modules ``gold`` and ``gate``."""
    with scratch_folder(default_folder()) as folder:
        for name, target in (("gold", "portable"), ("gate", family)):
            module, inputs, outputs = make(target)
            ports = set()
            for port, signal in {**inputs, **outputs}.items():
                signal.name_override = port
                ports.add(signal)
            text = str(verilog.convert(module, ports, name=name))
            (folder/f"{name}.v").write_text(text[text.index(f"module {name}"):])
        try:
            read = f"read_verilog {CELLS[family]}; read_verilog gold.v gate.v; hierarchy -check"
            return run_tool("yosys", ["-p", f"{read}; {script}"], folder, limit_s)
        except ToolCrash as error:
            if any(text in str(error) for text in ("proof did fail", "verify", "unproven $equiv")):
                raise NotEqual(f"the modules differ: {error}") from None
            raise
