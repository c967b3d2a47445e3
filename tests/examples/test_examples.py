# SPDX-License-Identifier: BSD-2-Clause
"""The programs in examples/, run as a user runs them."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER   = Path(__file__).parents[2]/"examples"
PROGRAMS = sorted(path.name for path in FOLDER.glob("*.py"))
NEEDS    = {"pytorch_model.py": "torch", "own_soc.py": "litex_boards"}
SHOWN    = {
    "layer.py":          r"DeviceLinear\(512 x 1024, W4A16, .*: largest error .* 0\.0\d+ %\n3 jobs in \d+ cycles",
    "language_model.py": r"LlamaModel\(llama, .*\n(?s:.+)\n\n[\d.]+ tokens a second, \d+ device cycles a token",
    "pytorch_model.py":  r"OffloadedLinear\((?s:.+)root mean square of the difference: \d\.\d\d % of the output",
    "board.py":          r"ok    array      \d+ layers, .*\n10 calls of a 256 x 512 layer: ",
    "own_soc.py":        r"",
}


def run(program, folder):
    return subprocess.run([sys.executable, FOLDER/program], cwd=folder, capture_output=True, text=True, timeout=300,
        check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs_and_says_what_it_did(program, tmp_path):
    if program in NEEDS and find_spec(NEEDS[program]) is None:
        pytest.skip(f"{NEEDS[program]} is not installed")
    found = run(program, tmp_path)
    assert found.returncode == 0, found.stderr[-2000:]
    assert re.search(SHOWN[program], found.stdout), found.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_is_short(program):
    assert len((FOLDER/program).read_text(encoding="utf-8").splitlines()) < 40


def test_the_soc_of_the_page_is_the_example():
    page  = (FOLDER.parent/"docs"/"your-own-soc.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    assert (FOLDER/"own_soc.py").read_text(encoding="utf-8").endswith(f'"""\n\n{block}')
