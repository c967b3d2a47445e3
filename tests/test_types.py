# SPDX-License-Identifier: BSD-2-Clause
"""What a user calls has types that a checker sees, and what it sees is checked in our own code, too."""

import subprocess
import sys
from pathlib import Path

ROOT  = Path(__file__).parents[1]
RIGHT = """\
from typing import Any

import numpy as np
from typing_extensions import assert_type

import mixpe
from mixpe import Int4Matrix, Int8Matrix, LlamaModel
from mixpe.devices.device import Device
from mixpe.devices.linear import DeviceLinear
from mixpe.lm.conversation import Conversation
from mixpe.lm.generation import Generation
from mixpe.lm.session import Session
from mixpe.lm.text import TextGeneration

w = np.zeros((8, 32), np.float32)
assert_type(mixpe.__version__, str)
assert_type(mixpe.quantize(w, group_size=None, bits=8), Int4Matrix | Int8Matrix)
assert_type(mixpe.quantize_activations(w), tuple[np.ndarray, np.ndarray])
with mixpe.open("reference", rows=4) as device:
    assert_type(device, Device)
    linear = device.load(mixpe.quantize(w), activations="a16")
    assert_type(linear, DeviceLinear)
    assert_type(linear([1.0]*32), np.ndarray)
    assert_type(linear.partials(np.zeros((1, 32), np.int8)), np.ndarray)
    assert_type(linear.shape, tuple[int, int])
    assert_type(device.run([(linear, w)]), list[np.ndarray])
    assert_type(device.counters(), dict[str, int])
    assert_type(device.link_bytes(), dict[str, int])
    assert_type(device.info(), dict[str, Any])
with LlamaModel.from_pretrained(device="reference") as model:
    assert_type(model, LlamaModel)
    assert_type(model.generate("def ", 4, temperature=0.5), Generation)
    assert_type(model.write("def ", 4), TextGeneration)
    assert_type(model.session(), Session)
"""
WRONG = {
    'mixpe.open(3)': "arg-type", 'mixpe.quantize(w, bits="4")': "arg-type", 'mixpe.quantize(w, groups=4)': "call-arg",
    'mixpe.open("reference").load(w)': "arg-type", 'mixpe.open("reference").counter()': "attr-defined",
    'LlamaModel.from_pretrained(device=3)': "arg-type", 'mixpe.quantize(w) + 1': "operator",
}


def checked(path):
    """mypy's errors in a user's file: dict of line → kinds."""
    command = [sys.executable, "-m", "mypy", "--config-file", ROOT/"pyproject.toml", "--no-error-summary", path]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    found = {}
    for line in run.stdout.splitlines():
        place, _, rest = line.partition(": ")
        name, _, number = place.rpartition(":")
        if name.endswith(path.name) and rest.startswith("error"):
            found.setdefault(int(number), []).append(rest)
        elif rest.startswith("error"):
            found.setdefault(place, []).append(rest)
    return found


def test_the_types_that_a_user_sees(tmp_path):
    right, wrong = tmp_path/"right.py", tmp_path/"wrong.py"
    right.write_text(RIGHT)
    assert checked(right) == {}
    wrong.write_text("\n".join([*RIGHT.splitlines()[:15], *WRONG]) + "\n")
    found = checked(wrong)
    for number, (line, kind) in enumerate(WRONG.items(), 16):
        assert any(f"[{kind}]" in text for text in found.get(number, [])), (line, found)
