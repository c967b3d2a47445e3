# SPDX-License-Identifier: BSD-2-Clause
"""The language model on the device under test: logits and text are those of the reference, to the bit."""

import pytest

from mixpe.lm import LlamaModel

PROMPT = b"def f(x):"


@pytest.mark.device
@pytest.mark.parametrize("activations", ["a8", "a16"])
def test_logits_and_text_are_those_of_the_reference(dut, folder, activations):
    options = dict(group_size=32, activations=activations)
    with LlamaModel.from_pretrained(folder, "reference", **options) as model:
        logits = model.logits(PROMPT)
        text   = b"".join(model.generate(PROMPT, 4, temperature=0.8, top_p=0.9, seed=3))
    with LlamaModel.from_pretrained(folder, dut, **options) as model:
        assert model.logits(PROMPT).tobytes() == logits.tobytes()
        made = model.generate(PROMPT, 4, temperature=0.8, top_p=0.9, seed=3)
        assert b"".join(made) == text
        decode = made.statistics().decode
    assert decode.tokens == 3 and decode.cycles > decode.busy_cycles > 0 and decode.link_bytes > 0
