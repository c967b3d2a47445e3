# SPDX-License-Identifier: BSD-2-Clause
"""A text that is compared with the reference's as it comes."""

import json

import numpy as np
import pytest

from mixpe.bench.answer import Comparison
from mixpe.cli.main import main
from mixpe.devices.driver import driver_of
from mixpe.errors import VerifyError
from mixpe.lm.sampling import Sampler

PROMPT = np.random.default_rng(1).integers(0, 99, 9).tolist()


def test_tokens_come_one_by_one(model):
    expected = list(model.generate_tokens(PROMPT, 6))
    with model.session() as session:
        first = session.read(PROMPT)
        assert expected == [first, *session.go_on(first, 5)]
    found, done = Comparison(model, PROMPT, expected), []
    assert found.steps == [1, 2, 2, 2, 2], "two tokens of A16 are four rows"
    tokens = found.run(done.append)
    assert next(tokens) == expected[0] and len(done) == 4, "the pass of a token is done behind it"
    assert list(tokens) == expected[1:] and sum(done) == found.cycles and len(done) == 5 + 5


def test_a_text_ends(model):
    whole = list(model.generate_tokens(PROMPT, 6))
    ended = list(model.generation(np.array(PROMPT), 6, Sampler(), ends={whole[2]}))
    assert ended == whole[:whole.index(whole[2]) + 1]


def test_a_wrong_token_is_seen(model):
    expected = list(model.generate_tokens(PROMPT, 4))
    wrong    = [*expected[:2], (expected[2] + 1) % 99, expected[3]]
    free, got = driver_of(model.device).memory.free_bytes, []
    with pytest.raises(VerifyError, match=f"token 2 of the answer is {expected[2]}, the reference's is {wrong[2]}"):
        for token in Comparison(model, PROMPT, wrong).run(lambda _cycles: None):
            got.append(token)
    assert got == expected[:2]
    assert driver_of(model.device).memory.free_bytes == free, "the session's memory is given back"


@pytest.mark.models
def test_the_command(capsys):
    assert main(["demo", "--model", "smollm2", "--ask", "What is the capital of France?", "--answer-tokens", "3",
        "--device", "reference?decoder=1&minima=1&rows=2"]) == 0
    out = capsys.readouterr().out
    assert "> What is the capital of France?\nThe capital of\n" in out
    assert "3 of the answer: each the reference's" in " ".join(out.split())
    assert main(["demo", "--model", "smollm2", "--ask", "What is the capital of France?", "--answer-tokens", "3",
        "--device", "reference?decoder=1&minima=1&rows=2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] == "The capital of" and found["wrong"] is None and found["tokens"] == 3


@pytest.mark.parametrize("options, text", [
    (["--ask", "x"], "has no chat template"),
    (["--ask", "x", "--answer-tokens", "0"], "--answer-tokens must be 1 or more"),
])
def test_errors(options, text, capsys):
    assert main(["demo", *options]) == 2
    assert text in " ".join(capsys.readouterr().err.split())
