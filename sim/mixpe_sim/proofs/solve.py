# SPDX-License-Identifier: BSD-2-Clause
"""Give a claim to the SAT solver of Yosys."""

from dataclasses import dataclass

from migen.fhdl import verilog

from mixpe.errors import MixpeError
from mixpe.tools import ToolCrash, run_tool
from mixpe.tools.cachefolder import cache_folder
from mixpe.tools.yowasp import scratch_folder

LIMIT_S = 900


class Refuted(MixpeError):
    """A claim does not hold; the message has the solver's counterexample."""


class Vacuous(MixpeError):
    """What a claim names as possible does not happen: it says nothing."""


@dataclass(frozen=True)
class Mutation:
    """A change of a design's Verilog, which stands there once.

    Attributes
    ----------
    old, new : str
    """

    old: str
    new: str

    def apply(self, text):
        """The changed text."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.old!r} stands {text.count(self.old)} times in the design, not once")
        return text.replace(self.old, self.new)


def verilog_of(claim, mutation=None):
    """The claim as text; names depend on the claim alone."""
    ports = {*claim.free, claim.holds, claim.assumed, claim.seen}
    text  = str(verilog.convert(claim, ports, name="top"))
    text  = text[text.index("module top"):]
    return text if mutation is None else mutation.apply(text)


def solve(claim, cycles, *, induction=False, last=False, mutation=None, limit_s=LIMIT_S):
    """Prove a claim.

    Parameters
    ----------
    claim : Claim
    cycles : int
        From reset on; with induction the longest step that is tried.
    induction : bool
        For all cycles: if it has held for some, it holds in the next one, whatever the registers' values.
    last : bool
        Of the last cycle alone: for a pipeline without feedback it is like the others.
    mutation : Mutation, optional
    limit_s : float

    Raises
    ------
    Refuted
    Vacuous
    ToolError
    """
    text = verilog_of(claim, mutation)
    with scratch_folder(cache_folder("proofs")) as folder:
        (folder/"top.v").write_text(text, encoding="utf-8")
        read  = "read_verilog top.v; prep -flatten -top top; memory_map; opt -full; clean"
        rules = "-set assumed 1 -set sys_rst 0"
        happens = "" if mutation else f"sat -falsify -seq {cycles} {rules} -prove seen 0 top;"
        how = f"-tempinduct{'' if induction else '-baseonly'} -maxsteps {cycles}"
        if last:
            how = f"-seq {cycles} -prove-skip {cycles - 1}"
        log = folder/"log"
        try:
            run_tool("yosys", ["-p", f"{read}; {happens} sat -verify {how} {rules} -prove holds 1 -show-ports top"],
                     folder, limit_s, log=log)
        except ToolCrash as error:
            if "-falsify" in str(error):
                raise Vacuous(f"what is to be seen does not happen in {cycles} cycles") from None
            if "proof did fail" not in str(error):
                raise
            raise Refuted(f"{error}\n{log.read_text(encoding='utf-8')[-4000:]}") from None
