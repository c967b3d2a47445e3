# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of the packaged model through the decoder of the simulated SoC, with DRAM timing, against its bytes."""

import numpy as np
import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.bench.measure import bare_read_rate
from mixpe.devices import open_device
from mixpe.lm import LlamaModel

DECODE  = 1.6   # most cycles of a token, of its bytes at the bare reader's rate
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
    """Weights and scales that a token needs, the block of its embedding, and the cache so far."""
    weights = sum(sum(matrix.plan.stream_bytes) for name, matrix in program.matrices.items() if name != "embedding")
    cache   = program.session.cache_bytes*(position + 1)//program.session.context
    return weights + program.matrices["embedding"].plan.block_bytes[0] + cache


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
