# SPDX-License-Identifier: BSD-2-Clause
"""llama.cpp on this machine's CPU beside the boards."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from mixpe.bench import cpu
from mixpe.cli.main import main
from mixpe.errors import ModelError, RangeError
from mixpe.lm import checkpoint


class Clock:
    """Time that goes on when a model works."""

    now = 0.0

    def perf_counter(self):
        return self.now


class FakeLlama:
    """Takes 10 ms for each token of text, 1 ms for each of a prompt; the second run of each three is slower."""

    clock = Clock()

    def __init__(self, **options):
        if "damaged" in options["model_path"]:
            raise ValueError("Failed to load model from file")
        self.options, self.resets, self.seen = options, 0, 0

    def reset(self):
        self.resets += 1
        self.seen = 0

    def eval(self, tokens):
        self.seen += len(tokens)
        assert self.seen <= self.options["n_ctx"]
        self.clock.now += (0.010 if len(tokens) == 1 else 0.001*len(tokens))*(2 if self.resets == 2 else 1)

    def sample(self, temp):
        assert temp == 0.0
        return 5


@pytest.fixture
def llama(monkeypatch):
    module = ModuleType("llama_cpp")
    module.Llama, module.__version__ = FakeLlama, "0"
    monkeypatch.setitem(sys.modules, "llama_cpp", module)
    monkeypatch.setattr(cpu, "time", FakeLlama.clock)
    monkeypatch.setattr(cpu, "read_rate", lambda threads: 20e9)


def opened(path, tmp_path):
    """The packaged model as if it were in a GGUF file."""
    found = checkpoint.opened("bytes")
    return SimpleNamespace(path=tmp_path/path, tensors=found.tensors, architecture=found.architecture)


def test_the_best_of_three_runs_counts(llama, tmp_path):
    found = cpu.measure_cpu("bytes", opened("x.gguf", tmp_path), threads=3, tokens=8)
    assert found.tokens_per_s == pytest.approx(100) and found.prompt_tokens_per_s == pytest.approx(1000)
    assert found.per_gb == pytest.approx(5) and found.threads == 3 and found.cpu
    embedding = [tensor for name, tensor in opened("x", tmp_path).tensors.items() if "embed" in name]
    assert embedding and found.weight_bytes > 1e6


def test_weights_that_a_token_reads():
    tensors = {name: SimpleNamespace(nbytes=size, shape=shape) for name, size, shape in (
        ("model.embed_tokens.weight", 1000, (9, 9)), ("a.weight", 10, (9, 9)), ("norm.weight", 5, (9,)))}
    assert cpu.weight_bytes(SimpleNamespace(tensors=tensors)) == 1010  # the embedding is the head
    tensors["lm_head.weight"] = SimpleNamespace(nbytes=100, shape=(9, 9))
    assert cpu.weight_bytes(SimpleNamespace(tensors=tensors)) == 110


def test_reading_memory():
    rate = cpu.read_rate(2, size=1 << 22)
    assert 1e8 < rate < 1e13


def test_the_name_of_the_processor(tmp_path):
    (tmp_path/"cpuinfo").write_text("processor : 0\nmodel name\t: Made Up 9\nmodel name\t: Made Up 9\n")
    assert cpu.cpu_name(tmp_path/"cpuinfo") == "Made Up 9"
    assert cpu.cpu_name(tmp_path/"none")


def test_what_is_refused(llama, tmp_path):
    with pytest.raises(ModelError, match="no GGUF file"):
        cpu.measure_cpu("bytes", opened("x.safetensors", tmp_path))
    with pytest.raises(RangeError, match="a thread and a token"):
        cpu.measure_cpu("bytes", opened("x.gguf", tmp_path), threads=0)
    with pytest.raises(ModelError, match="cannot load .*damaged"):
        cpu.measure_cpu("bytes", opened("damaged.gguf", tmp_path))


def test_the_command(llama, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "opened", lambda _name, real=checkpoint.opened: SimpleNamespace(
        path=tmp_path/"x.gguf", **{name: getattr(real("bytes"), name) for name in ("tensors", "architecture")}))
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["bench", "--cpu", "--model", "made-up", "--threads", "2", "--tokens", "4"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert out.count(" measured ") == 1 and out.count(" modelled ") == 13 and "made-up: " in out
    assert main(["bench", "--cpu", "--model", "made-up", "--json", "--tokens", "4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cpu"]["measured"] and found["cpu"]["tokens_per_s_per_gb_per_s"] == pytest.approx(5)
    assert len(found["boards"]) == 13 and all(row["modelled"] for row in found["boards"])
    for option in (["--board", "ulx3s"], ["--link", "uart"], ["--prompt", "4"]):
        assert main(["bench", "--cpu", *option]) == 2
        assert f"leave {option[0]} out" in capsys.readouterr().err
    assert main(["bench", "--cpu", "--model", "a", "--model", "b"]) == 2


def test_without_the_package(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    monkeypatch.setattr(checkpoint, "opened", lambda _name, real=checkpoint.opened: opened("x.gguf", tmp_path)
        if _name != "bytes" else real(_name))
    assert main(["bench", "--cpu"]) == 2
    assert "pip install 'mixpe[llama]'" in capsys.readouterr().err
