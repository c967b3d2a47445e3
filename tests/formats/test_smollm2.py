# SPDX-License-Identifier: BSD-2-Clause
"""SmolLM2-135M-Instruct as its package brings it: every tensor equal to gguf-py's, to the bit."""

import time
from collections import Counter

import numpy as np
import pytest

from mixpe.bench.load import weight_stream
from mixpe.formats.convert import stored_matrix
from mixpe.formats.gguf_model import our_name
from mixpe.formats.open import open_checkpoint
from mixpe.formats.requantize import requantize
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.scaling import Form

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def checkpoint():
    return open_checkpoint("smollm2")


def test_shape(checkpoint):
    shape = checkpoint.architecture
    assert (shape.family, shape.num_hidden_layers) == ("llama", 30)
    assert (shape.hidden_size, shape.intermediate_size) == (576, 1536)
    assert (shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim) == (9, 3, 64)
    assert (shape.vocab_size, shape.max_position_embeddings, shape.rope.theta) == (49152, 8192, 100000)
    assert shape.tie_word_embeddings and shape.rms_norm_eps == np.float32(1e-5)
    assert checkpoint.generation.eos_token_ids == (2,) and checkpoint.generation.add_bos is False
    pairs = checkpoint.tokenizer.pairs
    assert pairs["tokenizer.ggml.pre"] == "smollm" and len(pairs["tokenizer.ggml.tokens"]) == 49152
    assert pairs["tokenizer.ggml.tokens"][2] == "<|im_end|>"
    assert Counter(tensor.layout for tensor in checkpoint.tensors.values()) == {"Q4_1": 210, "Q8_0": 1, "F32": 61}


def test_every_tensor_is_that_of_gguf_py(checkpoint):
    gguf  = pytest.importorskip("gguf")
    shape = checkpoint.architecture
    for there in gguf.GGUFReader(checkpoint.path).tensors:
        exact = gguf.quants.dequantize(there.data, there.tensor_type)
        name  = our_name(there.name)
        heads = {"q_proj": shape.num_attention_heads, "k_proj": shape.num_key_value_heads}.get(name.split(".")[-2])
        if heads:
            exact = exact.reshape(heads, -1, 2, exact.shape[1]).swapaxes(1, 2).reshape(exact.shape)
        assert checkpoint.tensors[name].dequantize().tobytes() == exact.tobytes(), name


def test_what_a_device_gets(checkpoint):
    """All its own numbers."""
    forms = Counter()
    for tensor in checkpoint.tensors.values():
        if len(tensor.shape) == 2:
            found = stored_matrix(tensor)
            assert not found.change and found.matrix.dequantize().tobytes() == tensor.dequantize().tobytes()
            forms[found.matrix.form] += 1
    assert forms == {Form.MINIMUM: 210, Form.ZERO: 1}
    assert requantize(checkpoint.tensors["model.layers.7.mlp.down_proj.weight"])[1] > 44


def test_its_tensors_become_streams_at_100_megabytes_a_second(checkpoint):
    """Of processor time, the best of three."""
    tensors = [tensor for tensor in checkpoint.tensors.values() if len(tensor.shape) == 2]
    times   = []
    for _ in range(3):
        begin = time.process_time()
        for tensor in tensors:
            weight_stream(tensor, Config(minima=True))
        times.append(time.process_time() - begin)
    assert sum(tensor.nbytes for tensor in tensors)/min(times) > 100e6
