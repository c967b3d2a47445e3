# SPDX-License-Identifier: BSD-2-Clause
"""Nats a token: counted by hand, in float32 and with a device's bits, and the command that prints them."""

import json
import math

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.errors import ModelError
from mixpe.formats.open import open_checkpoint
from mixpe.lm import LlamaModel
from mixpe.lm.evaluate import windows
from mixpe.lm.perplexity import cost, evaluate_tokens
from mixpe.lm.text import tokenizer_of
from mixpe.models import corpus, topics

TEXT = ("Ein kurzer Text, ½ davon ASCII. "*6).encode()


def test_cost_is_that_of_a_plain_count(talker):
    model  = LlamaModel.from_pretrained(talker)
    tokens = np.array(model.tokenizer.encode(TEXT.decode()))
    pieces, total, count = windows(tokens, 48), 0.0, 0
    for begin, first, end in pieces:
        logits = model.logits(tokens[begin:end - 1]).astype(np.float64)
        for position in range(first, end):
            row = logits[position - begin - 1]
            total -= math.log(np.exp(row[tokens[position]])/np.exp(row).sum())
            count += 1
    assert cost(model, tokens, pieces) == (pytest.approx(total, rel=1e-5), count) and count == len(tokens) - 1


@pytest.mark.parametrize("bits", [4, 8])
def test_layers_have_a_devices_bits(talker, bits):
    opened = open_checkpoint(talker)
    rows, count, notes = evaluate_tokens(opened, tokenizer_of(opened), TEXT, limit=None, group_sizes=(32,), bits=bits)
    tokens = np.array(tokenizer_of(opened).encode(TEXT.decode()))
    pieces = windows(tokens, 48)
    assert [row["activations"] for row in rows] == [None, "a16", "a8g", "a8"] and not notes
    assert count == {"tokens": len(TEXT), "bytes": len(TEXT), "windows": len(pieces)}  # all but the bos before it
    for row in rows[1:]:
        with LlamaModel.from_pretrained(talker, "reference", group_size=32, bits=bits,
                                        activations=row["activations"]) as model:
            assert row["nats_per_token"] == pytest.approx(cost(model, tokens, pieces)[0]/count["tokens"], rel=1e-12)
    bits_per_byte = rows[0]["nats_per_token"]/math.log(2)*count["tokens"]/count["bytes"]
    assert rows[0]["bits_per_byte"] == pytest.approx(bits_per_byte) and rows[0]["cost_percent"] == 0


def test_the_command(talker, tmp_path, capsys):
    (tmp_path/"text").write_bytes(TEXT)
    words = ["evaluate", "--model", str(talker), "--text", str(tmp_path/"text"), "--activations", "a16"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "nats/token" in out and "W4 G=128" in out and "A16" in out and "A8" not in out
    assert main([*words, "--json", "--all", "--bits", "8"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == len(TEXT) and found["results"][1]["weights"] == "W8 G=128"
    assert main([*words, "--quantisers", "gptq"]) == 2
    assert "are for byte-level models" in capsys.readouterr().err
    (tmp_path/"text").write_bytes(b"")
    assert main(words) == 2
    assert "too short" in capsys.readouterr().err


def test_the_first_tokens_of_a_text(talker):
    opened = open_checkpoint(talker)
    tokens = np.array(tokenizer_of(opened).encode(TEXT.decode()))[:101]
    rows, count, _ = evaluate_tokens(opened, tokenizer_of(opened), TEXT, limit=None, most=100, activations=())
    assert count["tokens"] == 100 and len(rows) == 1
    model = LlamaModel.from_pretrained(talker)
    assert rows[0]["nats_per_token"] == pytest.approx(cost(model, tokens, windows(tokens, 48))[0]/100, rel=1e-12)


def test_tokens_of_the_manuals_topics(talker, capsys):
    words = ["evaluate", "--model", str(talker), "--topics", "--tokens", "60"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tokens"] == 60
    assert [row["activations"] for row in found["results"]] == [None, "a16", "a8g", "a8"]
    with pytest.raises(SystemExit):
        main([*words, "--text", "x"])
    assert "not allowed with" in capsys.readouterr().err
    assert main(["evaluate", "--model", str(talker), "--topics", "--tokens", "0"]) == 2
    assert "--tokens must be at least 1, not 0" in capsys.readouterr().err
    assert topics.text().decode().startswith('The "assert" statement')


def test_text_that_is_too_short(talker):
    opened = open_checkpoint(talker)
    with pytest.raises(ModelError, match="1 tokens is too short"):
        evaluate_tokens(opened, tokenizer_of(opened), b"")


@pytest.mark.models
def test_a16_costs_smollm2_at_most_a_thousandth():
    """Over 512 tokens, against float32 of the weights as stored, which the device has too."""
    opened = open_checkpoint("smollm2")
    text   = corpus.load("held-out").joined()
    rows, count, notes = evaluate_tokens(opened, tokenizer_of(opened), text, limit=1, activations=("a16",))
    assert count["tokens"] >= 512 and not notes
    assert abs(rows[1]["cost_percent"]) < 0.1


@pytest.mark.models
def test_what_activations_cost_smollm2():
    """The default costs next to nothing, and a scale per group a fraction of what a scale a token costs."""
    opened = open_checkpoint("smollm2")
    rows, count, _ = evaluate_tokens(opened, tokenizer_of(opened), topics.text(), limit=None, most=1024)
    costs  = {row["activations"]: row["cost_percent"] for row in rows}
    assert count["tokens"] == 1024
    assert abs(costs["a16"]) < 0.1 and abs(costs["a8g"]) < 0.5 and costs["a8"] > max(1, 2*costs["a8g"])
