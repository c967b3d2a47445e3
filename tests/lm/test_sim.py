# SPDX-License-Identifier: BSD-2-Clause
"""The language model on the simulated SoC: logits and text are those of the reference, to the bit."""

import shutil

import pytest

import mixpe
from mixpe.lm import LlamaModel

pytest.importorskip("litex")
if not shutil.which("verilator"):
    pytest.skip("the simulated SoC needs verilator", allow_module_level=True)

PROMPT = b"def f(x):"


@pytest.fixture(scope="module")
def sim():
    with mixpe.open("sim") as device:
        yield device


@pytest.mark.parametrize("activations", ["a8", "a16"])
def test_logits_and_text_are_those_of_the_reference(sim, folder, activations):
    options = dict(group_size=32, activations=activations)
    with LlamaModel.from_pretrained(folder, "reference", **options) as model:
        logits = model.logits(PROMPT)
        text   = b"".join(model.generate(PROMPT, 4, temperature=0.8, top_p=0.9, seed=3))
    with LlamaModel.from_pretrained(folder, sim, **options) as model:
        assert model.logits(PROMPT).tobytes() == logits.tobytes()
        made = model.generate(PROMPT, 4, temperature=0.8, top_p=0.9, seed=3)
        assert b"".join(made) == text
        decode = made.statistics().decode
    assert decode.tokens == 3 and decode.cycles > decode.busy_cycles > 0 and decode.link_bytes > 0
