# SPDX-License-Identifier: BSD-2-Clause
"""The command that measures the decoder's engines: what it hands to synthesis, and the table it prints."""

import pytest

from mixpe.explore import decoder
from mixpe.explore.cost.flow import Cost
from mixpe.tools import ToolCrash


@pytest.fixture
def measured(monkeypatch):
    """What `measure` was called with; it finds as many LUTs as there are pins in."""
    calls = []

    def measure(unit, inputs, outputs, device, *, seeds):
        calls.append((type(unit).__name__, sum(map(len, inputs)), sum(map(len, outputs)), device, seeds))
        return Cost(target=device, luts=calls[-1][1], flip_flops=2, dsps=3, block_rams=4, placed_luts=None,
            fmax_mhz=None, fmax_by_seed={}, cells={}, tools={})

    monkeypatch.setattr(decoder, "measure", measure)
    return calls


def test_table(measured, capsys):
    assert decoder.main(["--port-bits", "32", "64", "--heads", "2", "--lanes", "2", "--head-max", "64"]) == 0
    names = [call[0] for call in measured]
    assert names == ["VectorEngine"]*2 + ["AttentionEngine"]*2 + ["Sequencer"]*2
    assert all(device == "LFE5U-85F-6" and seeds == () for *_, device, seeds in measured)
    # A read port brings a word and two bits, a write port two bits: twice as wide, 32 bits more of each operand.
    assert measured[1][1] - measured[0][1] == 2*32 - 2 and measured[3][1] - measured[2][1] == 32 - 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| engine | beat | memory | LUT | FF | DSP | block RAM |"
    assert lines[2] == f"| vector | 32 | 32 | {measured[0][1]} | 2 | 3 | 4 |"
    assert lines[4].startswith("| attention, 2 × 2, heads of 64 | 32 | 32 |")


def test_an_engine_that_is_named(measured, capsys):
    assert decoder.main(["attention", "--port-bits", "32", "--memory-bits", "16", "--device", "GW2A-18"]) == 0
    assert [(call[0], call[3]) for call in measured] == [("AttentionEngine", "GW2A-18")]
    assert "| attention, 4 × 4, heads of 128 | 32 | 16 |" in capsys.readouterr().out


def test_errors(measured, monkeypatch, capsys):
    assert decoder.main(["vector", "--port-bits", "16"]) == 2
    assert "32 bits at least, not port_bits=16" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        decoder.main(["vectors"])
    assert "there is no engine 'vectors'" in capsys.readouterr().err

    def crash(*_args, **_options):
        raise ToolCrash("yosys ended with 1")

    monkeypatch.setattr(decoder, "measure", crash)
    assert decoder.main(["vector"]) == 2
    assert "yosys ended with 1" in capsys.readouterr().err
