# SPDX-License-Identifier: BSD-2-Clause
"""What 8-bit and FP16 activations cost on real activations, apart from the weights' quantisation."""

import numpy as np
import pytest

import mixpe
from mixpe.bench.block import LAYERS, block_inputs, held_out_text
from mixpe.lm import checkpoint
from mixpe.quant.sqnr import sqnr_db


@pytest.fixture(scope="module")
def block():
    config, tensors = checkpoint.read(None)
    _, text = held_out_text(64)
    return tensors, block_inputs(config, tensors, 0, text, 16)


@pytest.mark.parametrize("part", LAYERS)
def test_a16_is_20_db_above_a8(part, block):
    """Against float64 with the same quantised weights."""
    tensors, inputs = block
    x = inputs[LAYERS[part]]
    matrix = mixpe.quantize(np.asarray(tensors[f"model.layers.0.{part}.weight"], np.float32))
    exact = x.astype(np.float64) @ matrix.dequantize().astype(np.float64).T
    with mixpe.open("reference") as device:
        a8, a16 = (sqnr_db(exact, device.load(matrix, activations=kind)(x)) for kind in ("a8", "a16"))
    assert a16 >= a8 + 20, (a8, a16)
