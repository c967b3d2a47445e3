# SPDX-License-Identifier: BSD-2-Clause
"""What `make mutate` changes, and that it sees a mutant that tests see."""

import ast

import pytest

from tests.mutation.__main__ import drawn, main
from tests.mutation.mutants import mutants_of
from tests.mutation.targets import GROUPS, WIDER
from tests.mutation.trial import ROOT, Tree

SOURCE = '''"""Text with 1."""
class Block:
    """More text."""
    def __init__(self, width=8, *, name="x"):
        self.ready = Signal(width, reset=1)
        self.sync += If(a.valid & (b.ready | c),
            count.eq(count + 1),
        ).Elif(d < 4, NextValue(count, 0))
        if width > 8 and name:
            raise ValueError(f"{width + 1} bits")
        check(width)
'''


@pytest.mark.parametrize("kind, before, after", [
    ("reset", "1", "0"), ("operator", "&", "|"), ("operator", "|", "&"), ("operator", "+", "-"),
    ("term", "b.ready | c", "b.ready"), ("term", "a.valid & (b.ready | c)", "a.valid"), ("compare", "<", "<="),
    ("compare", ">", ">="), ("boolean", "and", "or"), ("condition", "d < 4", "~(d < 4)"),
    ("condition", "width > 8 and name", "not (width > 8 and name)"), ("constant", "4", "5"), ("constant", "1", "0"),
    ("no assignment", "count.eq(count + 1)", "[]"), ("no assignment", "NextValue(count, 0)", "[]"),
    ("no statement", "check(width)", "pass"), ("no error", 'raise ValueError(f"{width + 1} bits")', "pass")])
def test_a_kind(kind, before, after):
    assert (kind, before, after) in {(each.kind, each.before, each.after) for each in mutants_of(SOURCE)}


def test_each_is_a_program_of_its_own():
    found = mutants_of(SOURCE)
    texts = {each.apply(SOURCE) for each in found}
    assert len(texts) == len(found) and SOURCE not in texts
    for text in texts:
        ast.parse(text)


def test_texts_sizes_and_defaults_stay():
    found = mutants_of(SOURCE)
    assert {each.line for each in found}.isdisjoint((1, 2, 3, 4))
    assert [each.kind for each in found if each.line == 5] == ["reset"]


@pytest.mark.parametrize("name", GROUPS)
def test_there_are_as_many_as_are_drawn_and_tests_for_them(name):
    group = GROUPS[name]
    found = drawn(group)
    assert len(found) == group.count and found == drawn(group)
    for path, _, mutant in found:
        ast.parse(mutant.apply((ROOT/path).read_text(encoding="utf-8")))
    for path in (*group.tests, *WIDER["gateware"], *WIDER["host"]):
        assert (ROOT/path).exists()


def test_at_least_300_of_gateware_and_host():
    assert sum(group.count for group in GROUPS.values()) >= 300
    assert {source.partition("/")[0] for group in GROUPS.values() for source in group.sources} == {"gateware", "host"}


def test_a_mutant_is_seen_by_a_test_and_the_tree_is_whole_again(tmp_path):
    path, tests = "host/mixpe/quant/floats.py", ["tests/host/test_inputs.py"]
    tree  = Tree(tmp_path/"tree")
    whole = (ROOT/path).read_text(encoding="utf-8")
    first = next(each for each in mutants_of(whole) if each.kind == "no error")
    assert tree.test(tests, 300) is None
    red, _ = tree.try_mutant(path, first, [(tests, 300)])
    assert red.startswith("tests/host/test_inputs.py::")
    assert (tree.folder/path).read_text(encoding="utf-8") == whole


def test_an_unknown_group_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "no group nothing; there are checker," in capsys.readouterr().err
