# SPDX-License-Identifier: BSD-2-Clause
"""docs/formats.md: each row of its tables of files and traps has a test, and the tests that it names are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tables():
    """Tables of the page: lists of rows, each a list of cells; the heads first."""
    found, before = [], False
    for line in (ROOT/"docs/formats.md").read_text(encoding="utf-8").splitlines():
        row = line.startswith("|")
        if row and not before:
            found.append([])
        if row and not re.fullmatch(r"[|:-]+", line):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = row
    return found


def test_each_row_has_a_test():
    names, rows = {path.name for path in (ROOT/"tests").rglob("test_*.py")}, 0
    for head, *body in tables():
        if head[-1] != "test":
            continue
        for row in body:
            tests = re.findall(r"`([\w/]*test_\w+\.py)`", row[-1])
            assert tests, row
            for test in tests:
                assert (ROOT/test).is_file() if "/" in test else test in names, test
            rows += 1
    assert rows > 25
