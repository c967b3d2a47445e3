# SPDX-License-Identifier: BSD-2-Clause
"""The command line: output, exit codes, one line for an error."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mixpe
from mixpe.cli import quantize
from mixpe.cli.main import ORDER, _command_names, main
from mixpe.cli.open import EXAMPLE
from mixpe.formats import safetensors
from mixpe.formats.matrixfile import load_matrices
from mixpe_gateware.contract.digest import digest


def test_module_and_help():
    run = subprocess.run([sys.executable, "-m", "mixpe", "--help"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and not run.stderr
    for command in ("demo", "info", "generate", "quantize"):
        assert command in run.stdout


@pytest.mark.parametrize("command", ["demo", "info", "quantize"])
def test_help_of_each_command(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "usage: mixpe " + command in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("mixpe ")


def test_info(capsys):
    assert main(["info", "--device", "reference?rows=4"]) == 0
    assert "4 rows x 32 lanes" in capsys.readouterr().out


@pytest.mark.parametrize("command, size, text", [
    ("info", 4096, "4 KiB at 0x40000000"), ("info", 128 << 10, "128 KiB at 0x40000000"),
    ("info", 32 << 20, "32 MiB at 0x40000000"), ("info", 1 << 30, "1 GiB at 0x40000000"),
    ("selftest", 128 << 10, "128 KiB of memory"),
])
def test_size_of_the_memory(command, size, text, capsys):
    main([command, "--device", f"reference?rows=4&mem_bytes={size}"])
    assert f" {text}" in capsys.readouterr().out


def test_order_of_the_commands():
    """Each has a place in the help."""
    assert sorted(name for name in _command_names() if hasattr(importlib.import_module(f"mixpe.cli.{name}"),
        "add_parser")) == sorted(ORDER)


def test_open_gives_a_prompt():
    """With the device, whose errors are one line, and the example of its banner works."""
    lines = "\n".join(line.removeprefix(">>> ") for line in EXAMPLE.splitlines())
    found = subprocess.run([sys.executable, "-m", "mixpe", "open", "reference?rows=4"], text=True, capture_output=True,
                           input=f"device.load(3)\n1/0\n{lines}.shape\ndevice.config.rows\n", timeout=60)
    assert found.returncode == 0 and "4 rows x 32 lanes" in found.stderr and "closed" in found.stderr
    assert "DtypeError: load takes an Int4Matrix" in found.stderr and "ZeroDivisionError" in found.stderr
    assert found.stderr.count("Traceback") == 1 and "(1, 64)" in found.stdout and found.stdout.endswith("4\n>>> ")


def test_open_runs_statements(capsys):
    assert main(["open", "reference?rows=4", "-c", "print(device.info()['rows'], np.float32(1), mixpe.__name__)"]) == 0
    assert capsys.readouterr().out == "4 1.0 mixpe\n"
    assert main(["open", "reference", "-c", "device.load(3)"]) == 2
    assert capsys.readouterr().err == ("mixpe: error: load takes an Int4Matrix or Int8Matrix from mixpe.quantize, "
                                       "not int\n")


@pytest.mark.parametrize("command", ["info", "open", "selftest", "generate"])
def test_help_names_every_kind_of_device(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = "".join(capsys.readouterr().out.split())
    assert all(scheme in text for scheme in ("reference", "sim", "serial:///dev", "serial+tcp://", "etherbone://"))


def test_info_json(capsys):
    assert main(["info", "--json", "--device", "reference?rows=4"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contract_digest"] == f"{digest():016x}" and found["device"]["rows"] == 4


def test_errors_are_one_line_and_code_2(capsys):
    assert main(["info", "--device", "fpga"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and err.startswith("mixpe: error: unknown device URL 'fpga'")


def test_no_traceback_from_a_process():
    run = subprocess.run([sys.executable, "-m", "mixpe", "info", "--device", "serial:///dev/no-such-port"],
        capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "Traceback" not in run.stderr


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2


def test_interrupt(monkeypatch, capsys):
    def interrupt(_url):
        raise KeyboardInterrupt

    monkeypatch.setattr(mixpe, "open", interrupt)
    assert main(["info", "--device", "reference"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("package, extra", [("litex", "gateware"), ("matplotlib", "plot"), ("torch", "torch")])
def test_missing_package_names_the_extra(monkeypatch, capsys, package, extra):
    def missing(_url):
        raise ModuleNotFoundError(f"No module named '{package}.deep'", name=f"{package}.deep")

    monkeypatch.setattr(mixpe, "open", missing)
    assert main(["info", "--device", "reference"]) == 2
    assert f"pip install 'mixpe[{extra}]'" in capsys.readouterr().err


def test_command_whose_module_needs_a_missing_package(monkeypatch, capsys):
    real = importlib.import_module

    def import_module(name):
        if name == "mixpe.cli.info":
            raise ModuleNotFoundError("No module named 'litex'", name="litex")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    assert main(["info", "--anything"]) == 2
    assert "mixpe[gateware]" in capsys.readouterr().err


def test_reader_that_goes_away():
    code = "import sys; from mixpe.cli import main; sys.exit(main(['info', '--json', '--device', 'reference']))"
    line = f'{sys.executable} -c "{code}" | true'
    run = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in run.stderr


# quantize

@pytest.fixture
def checkpoint(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "model.embed_tokens.weight": rng.standard_normal((10, 64)).astype(np.float32),
        "model.norm.weight": np.ones(64, np.float32),
        "model.layers.0.mlp.up_proj.weight": rng.standard_normal((24, 64)).astype(np.float16),
        "model.layers.0.mlp.down_proj.weight": rng.standard_normal((64, 24)).astype(np.float32),
    }
    safetensors.save(tmp_path/"in.safetensors", tensors)
    return tmp_path/"in.safetensors", tensors


@pytest.mark.parametrize("options, bits, group_size, symmetric", [
    ([], 4, 128, False), (["--group-size", "32", "--symmetric"], 4, 32, True),
    (["--bits", "8", "--group-size", "k"], 8, None, False),
])
def test_quantize(checkpoint, tmp_path, capsys, options, bits, group_size, symmetric):
    source, tensors = checkpoint
    assert main(["quantize", str(source), str(tmp_path/"out.safetensors"), *options]) == 0
    assert "2 matrices" in capsys.readouterr().out
    matrices, others = load_matrices(tmp_path/"out.safetensors")
    assert set(matrices) | set(others) == set(tensors) and len(matrices) == 2
    for name, matrix in matrices.items():
        expected = mixpe.quantize(tensors[name], group_size, symmetric, bits)
        np.testing.assert_array_equal(matrix.packed, expected.packed)
        np.testing.assert_array_equal(matrix.scales, expected.scales)
    np.testing.assert_array_equal(others["model.norm.weight"], tensors["model.norm.weight"])


def test_quantize_json(checkpoint, tmp_path, capsys):
    assert main(["quantize", str(checkpoint[0]), str(tmp_path/"out.safetensors"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["matrices"]
    assert [row["shape"] for row in rows] == [[24, 64], [64, 24]] and all(10 < row["sqnr_db"] < 40 for row in rows)


@pytest.mark.parametrize("options, text", [
    (["--include", "nothing"], "no matrix whose name matches 'nothing'"), (["--include", "("], "no regular expression"),
    (["--group-size", "48"], "group_size"), (["--group-size", "many"], "'many'"),
    (["--group-size", "9"*5000], "--group-size must be"),
])
def test_quantize_errors(checkpoint, tmp_path, capsys, options, text):
    assert main(["quantize", str(checkpoint[0]), str(tmp_path/"out.safetensors"), *options]) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path/"out.safetensors").exists()


def test_what_is_no_linear_layer_is_left_and_conv1d_is_transposed(tmp_path, capsys):
    rng = np.random.default_rng(0)
    shapes = {
        "wte.weight": (96, 32), "wpe.weight": (16, 32), "shared.weight": (96, 32), "pos_embeddings.weight": (9, 32),
        "block.0.relative_attention_bias.weight": (32, 4), "emb.weight": (96, 32),
        "h.0.attn.c_attn.weight": (32, 96), "h.0.attn.c_attn.bias": (96,),  # Conv1D: a row an input
        "h.0.attn.c_proj.weight": (32, 32), "h.0.attn.c_proj.bias": (32,),
        "h.0.mlp.c_proj.weight": (128, 32), "h.0.mlp.c_proj.bias": (32,),
        "h.1.mlp.c_proj.weight": (32, 32), "h.1.mlp.c_proj.bias": (32,),
        "fc.weight": (48, 32), "fc.bias": (48,), "square.weight": (32, 32), "square.bias": (32,),
        "none.weight": (0, 32),
    }
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    safetensors.save(tmp_path/"in.safetensors", tensors)
    files = [str(tmp_path/name) for name in ("in.safetensors", "out.safetensors")]
    assert main(["quantize", *files, "--group-size", "32"]) == 0
    text = capsys.readouterr().out
    matrices, others = load_matrices(tmp_path/"out.safetensors")
    turned = {"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight", "h.0.mlp.c_proj.weight", "h.1.mlp.c_proj.weight"}
    assert set(matrices) == turned | {"fc.weight", "square.weight"}
    for name, matrix in matrices.items():
        expected = mixpe.quantize(np.ascontiguousarray(tensors[name].T) if name in turned else tensors[name], 32)
        assert matrix.shape == expected.shape and (matrix.packed == expected.packed).all(), name
    for name, array in others.items():
        np.testing.assert_array_equal(array, tensors[name])
    assert "4 of them" in text and "6 matrices" in text


@pytest.mark.parametrize("target, text", [
    ("x"*300, "File name too long"), ("x"*300 + ".safetensors", "File name too long"), ("none/out", "is no folder"),
    ("in.safetensors", "is IN itself"), ("in.safetensors/out", "is no folder"), ("full.safetensors", "File too large"),
    ("out.gguf", "would be no .gguf file"),
])
def test_targets_that_cannot_be_written(checkpoint, tmp_path, target, text):
    source, _ = checkpoint
    before = source.read_bytes()
    code = ("import resource, signal, sys; from mixpe.cli.main import main; signal.signal(signal.SIGXFSZ, "
        "signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(main(sys.argv[1:]))")
    run = subprocess.run([sys.executable, "-c", code, "quantize", str(source), target], cwd=tmp_path, timeout=60,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1 and text in run.stderr, run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"] and source.read_bytes() == before


def test_quantize_keeps_what_it_reads(tmp_path, capsys, monkeypatch):
    """Also a folder's own weights; and IN may be a name, which no path leads to."""
    folder, empty = tmp_path/"model", tmp_path/"empty"
    folder.mkdir()
    empty.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy2(Path(mixpe.__file__).parent/"models"/name, folder)
    before = (folder/"model.safetensors").read_bytes()
    assert main(["quantize", str(folder), str(folder/"model.safetensors")]) == 2
    assert "is IN itself" in capsys.readouterr().err and (folder/"model.safetensors").read_bytes() == before
    opened = quantize.checkpoint.opened
    monkeypatch.setattr(quantize.checkpoint, "opened", lambda name: opened(folder if name == "a-name" else name))
    assert main(["quantize", "a-name", str(empty)]) == 0 and (empty/"model.safetensors").exists()


def test_quantize_no_file(tmp_path, capsys):
    assert main(["quantize", str(tmp_path/"none"), str(tmp_path/"out")]) == 2
    assert "none" in capsys.readouterr().err
