# SPDX-License-Identifier: BSD-2-Clause
"""Bits per byte: counted by hand, and the commands that print them."""

import argparse
import gzip
import json

import numpy as np
import pytest

from mixpe.cli import evaluate as command
from mixpe.cli import generate as writer
from mixpe.errors import MixpeError, ModelError, RangeError
from mixpe.lm import LlamaModel, evaluate, report
from mixpe.lm.calibration import calibration_windows

TEXT = np.random.default_rng(0).integers(97, 123, 301).astype(np.uint8)


@pytest.mark.parametrize("length", [2, 3, 24, 25, 48, 49, 50, 73, 74, 301])
def test_windows_predict_each_byte_once_with_enough_before_it(length):
    context, seen = 48, []
    for begin, first, end in evaluate.windows(TEXT[:length], context):
        assert 0 <= begin < first < end <= length and end - begin <= context + 1
        assert first - begin >= min(first, context // 2)
        seen += range(first, end)
    assert seen == list(range(1, length))


def test_limit_spreads_windows():
    whole = evaluate.windows(TEXT, 48)
    some  = evaluate.windows(TEXT, 48, 3)
    assert len(some) == 3 and some[0] == whole[0] and some[-1] == whole[-1]
    assert evaluate.windows(TEXT, 48, 1000) == whole


def test_bits_are_those_of_a_plain_count(config, tensors):
    model, total, count = LlamaModel(config, tensors), 0.0, 0
    pieces = evaluate.windows(TEXT, 48)
    for begin, first, end in pieces:
        logits = model.logits(TEXT[begin:end - 1]).astype(np.float64)
        for position in range(first, end):
            row = logits[position - begin - 1]
            total -= np.log2(np.exp(row[TEXT[position]]) / np.exp(row).sum())
            count += 1
    assert evaluate.bits_per_byte(model, TEXT, pieces) == pytest.approx(total / count, rel=1e-5)
    assert count == len(TEXT) - 1


def test_uniform_logits_cost_eight_bits(config, tensors):
    tensors["lm_head.weight"] = np.zeros((256, 64), np.float16)
    model = LlamaModel(config, tensors)
    assert evaluate.bits_per_byte(model, TEXT, evaluate.windows(TEXT, 48)) == pytest.approx(8.0)


def test_gzip_is_gzip_9():
    files = [b"abc" * 100, b"abc" * 50]
    alone, joined = evaluate.gzip_bits_per_byte(files)
    assert joined == 8 * len(gzip.compress(b"abc" * 150, 9)) / 450
    assert alone == 8 * sum(len(gzip.compress(file, 9)) for file in files) / 450


def test_quantised_variants_lie_near_the_float_one(config, tensors):
    calibration = calibration_windows(TEXT, 48, 16)
    rows = evaluate.evaluate(config, tensors, TEXT, calibration=calibration)
    assert [(r["quantiser"], r["format"], r["group_size"]) for r in rows] == [(None, "FP32", None)] + [
        (q, a, g) for q in ("nearest", "gptq") for a in ("W4A16", "W4A8") for g in (32, 64, 128)]
    for row in rows[1:]:
        assert abs(row["cost_percent"]) < 10 and row["bits_per_byte"] != rows[0]["bits_per_byte"]
        assert row["perplexity"] == pytest.approx(2**row["bits_per_byte"])
    assert report.table(rows).count("\n") == 13


def test_refusals(config, tensors):
    with pytest.raises(ModelError, match="needs calibration text"):
        evaluate.evaluate(config, tensors, TEXT)
    with pytest.raises(ModelError, match="too short"):
        evaluate.evaluate(config, tensors, TEXT[:1], chosen=[])
    with pytest.raises(RangeError, match="not 'awq'"):
        evaluate.variants(quantisers=["awq"])
    with pytest.raises(RangeError, match="not 'a4'"):
        evaluate.variants(activations=["a4"])


def call(module, *words):
    parser = argparse.ArgumentParser()
    module.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args([module.__name__.rpartition(".")[2], *(str(word) for word in words)])
    return args.run(args)


def test_evaluate_command_prints_table_json_and_figure(folder, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT.tobytes())
    options = ("--model", folder, "--text", text, "--quantisers", "nearest", "--group-sizes", 32, "--all")
    assert call(command, *options) == 0
    assert "round to nearest" in capsys.readouterr().out
    assert call(command, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["text_bytes"] == 301 and [row["format"] for row in found["results"]] == ["FP32", "W4A16", "W4A8"]
    assert call(command, *options, "--activations", "a8g", "--json") == 0
    assert [row["format"] for row in json.loads(capsys.readouterr().out)["results"]] == ["FP32", "W4A8G"]
    pytest.importorskip("matplotlib")
    assert call(command, *options, "--png", tmp_path / "x.png") == 0
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ModelError, match="cannot be read"):
        call(command, "--model", folder, "--text", tmp_path / "none")
    with pytest.raises(ModelError, match="--windows must be at least 1"):
        call(command, "--windows", 0)
    with pytest.raises(ModelError, match="--tokens is for models with a tokenizer"):
        call(command, "--tokens", 100)


def test_generate_command_writes_text_and_statistics(folder, capfdbinary):
    options = ("--model", folder, "--tokens", 6, "--prompt", "def é", "--group-size", 32)
    assert call(writer, *options) == 0
    out, err = capfdbinary.readouterr()
    assert out.startswith("def é".encode()) and len(out) == 6 + 6 + 1 and b"device cycles" in err
    assert call(writer, *options, "--json") == 0
    found = json.loads(capfdbinary.readouterr().out)
    assert bytes(found["tokens"]) == out[6:-1]
    assert found["board"]["modelled"] and found["statistics"]["decode"]["tokens"] == 5
    assert call(writer, *options, "--device", "none") == 0
    with pytest.raises(MixpeError, match="nonsense"):
        call(writer, *options, "--device", "nonsense")
