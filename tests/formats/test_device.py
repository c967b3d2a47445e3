# SPDX-License-Identifier: BSD-2-Clause
"""Every format on a device: each job's result is the exact sum of its weights, rounded once."""

from contextlib import nullcontext as nothing

import numpy as np
import pytest

import mixpe
from mixpe.formats.convert import stored_matrix
from mixpe.formats.open import open_checkpoint
from mixpe.formats.requantize import requantize
from mixpe.lm import LlamaModel
from mixpe.lm.linear import job_tensors
from mixpe.lm.offload import DeviceLoader
from mixpe.program.jobs import job_names
from mixpe_gateware.contract.reference import round_to_float32
from mixpe_gateware.contract.scaling import Form
from mixpe_gateware.contract.wide import align

GGUF_TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "Q3_K", "Q2_K")
QUANTISED  = {
    "gptq":                      ("gptq", {}),
    "gptq, order of its own":    ("gptq", {"act_order": True}),
    "gptq, 8 bits":              ("gptq", {"bits": 8}),
    "gptq, groups of 16":        ("gptq", {"group_size": 16}),
    "awq":                       ("awq", {}),
    "compressed-tensors":        ("compressed-tensors", {}),
}
CHANGED = {"gptq, groups of 16", "Q6_K", "Q3_K", "Q2_K"}
MINIMA  = {"Q4_1", "Q5_1", "Q4_K", "Q5_K"}  # exact where the device has them


def written(small, name, folder):
    """A small model in a format; returns its path."""
    if name in QUANTISED:
        method, options = QUANTISED[name]
        small.write_quantised(folder, method, small.architecture(), **options)
        return folder
    sizes = small.wide if name.endswith("_K") else {}
    shape = small.architecture(**sizes, tie_word_embeddings=True)
    if name == "llama2.c":
        small.write_llama2c(folder/"model.bin", shape, small.weights(shape), 2, 32)
        return folder/"model.bin"
    small.write_gguf(folder/"model.gguf", shape, small.weights(shape), lambda _: name)
    return folder/"model.gguf"


def real_weights(tensor):
    """s·(q − z), s·q + m or s·a·q + m·b of a tensor's own numbers, scales as FP16: float64, which rounds none of it."""
    found   = tensor.groups()
    scales, minima = (None if array is None else array.astype(np.float16).astype(np.float64)
        for array in (found.scales, found.minima))
    if found.factors is not None:
        scales, minima = (np.repeat(outer, 8, axis=1)*found.factors[:, :, index]
            for index, outer in enumerate((scales, minima)))

    def each(array):
        return np.repeat(array, found.group_size, axis=1)[:, :tensor.shape[1]]

    codes = found.codes.astype(np.float64)
    return each(scales)*(codes - each(found.zeros)) if minima is None else each(scales)*codes + each(minima)


def exact_sum(weights, x, span):
    """What a device gives for A16 by the definition: integers of any size, rounded once."""
    padded = np.zeros((len(x), -(-x.shape[1]//span)*span), np.float32)
    padded[:, :x.shape[1]] = x
    a, shifts, units = align(padded, span)
    steps = (a.astype(object)*np.repeat(2**shifts.astype(object), span, axis=1))[:, :x.shape[1]]
    whole = np.ldexp(weights.astype(np.float64), 24)  # FP16 numbers are whole multiples of 2^-24
    assert (whole == np.rint(whole)).all()
    return round_to_float32(steps @ whole.astype(np.int64).astype(object).T, -24)*units[:, None]


@pytest.mark.parametrize("name, url", [*((name, "reference") for name in (*QUANTISED, *GGUF_TYPES, "llama2.c")),
    *((name, "reference?minima=0") for name in ("Q4_0", *sorted(MINIMA))),
    *((name, "reference?rows=1&scalers=1") for name in sorted(MINIMA))])  # dequantised on the host
def test_jobs_are_exact_sums(small, name, url, tmp_path):
    checkpoint = open_checkpoint(written(small, name, tmp_path))
    rng = np.random.default_rng(1)
    changed = name in CHANGED or name in MINIMA and "minima=0" in url
    with mixpe.open(url) as device:
        loader = DeviceLoader(device, activations="a16")
        for job in job_names(checkpoint.architecture)[:5]:
            tensors = [checkpoint.tensors[part] for part in job_tensors(checkpoint.tensors, job)]
            x = rng.standard_normal((2, tensors[0].shape[1])).astype(np.float32)
            x[:, ::7] *= 30
            if tensors[0].form is None and name in QUANTISED:
                continue  # the head of these is floats
            parts = []
            for tensor in tensors:
                found = stored_matrix(tensor, device.config.minima)
                order = np.arange(tensor.shape[1]) if found.permutation is None else found.permutation
                if changed:
                    weights = requantize(tensor)[0].dequantize()
                else:
                    assert tensor.form is found.matrix.form and found.matrix.span <= max(32, tensor.group_size)
                    weights = real_weights(tensor)  # in the order of the codes
                    if name != "llama2.c":  # whose scales are rounded
                        assert weights.astype(np.float32).tobytes() == tensor.dequantize()[:, order].tobytes()
                    assert weights.astype(np.float32).tobytes() == found.matrix.dequantize().tobytes()
                parts.append(exact_sum(weights, x[:, order], found.matrix.span))
            found = loader.load(job, tensors)(x)
            assert found.tobytes() == np.concatenate(parts, axis=1).tobytes(), job
        notes = loader.changes.notes()
    if changed:
        assert len(notes) == 1 and "requantised to 8 bits in groups of 32" in notes[0]
        assert float(notes[0].split(", ")[-1].split()[0]) > 40
    else:
        assert not notes or name == "llama2.c" and "scales rounded to FP16" in notes[0]


def test_every_form_is_met():
    """By the types of the tests here."""
    from mixpe.formats.ggml_blocks import TYPES
    assert {kind.form for kind in TYPES.values() if kind.name in GGUF_TYPES} == {*Form, None}


@pytest.mark.parametrize("name", [*QUANTISED, "Q4_0", "Q4_1", "Q6_K", "llama2.c"])
def test_logits_are_those_of_the_file(small, name, tmp_path):
    """As float32 weights on the host give them, as far as activations of 16 bits allow."""
    path = written(small, name, tmp_path)
    with pytest.warns(UserWarning) if name in CHANGED or name == "llama2.c" else nothing():
        model = LlamaModel.from_pretrained(path, "reference", bits=8, group_size=32)
    with model:
        tokens = np.arange(20) % model.config.vocab_size
        exact  = LlamaModel.from_pretrained(path).logits(tokens)
        error  = np.abs(model.logits(tokens) - exact).max()/np.abs(exact).max()
    assert error < (5e-2 if name in CHANGED or name in QUANTISED else 2e-3)


def test_parts_that_differ_are_jobs_of_their_own(small, tmp_path):
    """As in a mix of types, and with columns in another order."""
    shape = small.architecture(tie_word_embeddings=True)
    kinds = {"v_proj": "Q5_0", "up_proj": "Q4_1"}
    small.write_gguf(tmp_path/"mix.gguf", shape, small.weights(shape),
        lambda name: kinds.get(name.split(".")[-2], "Q4_0"))
    with mixpe.open("reference") as device, LlamaModel.from_pretrained(tmp_path/"mix.gguf", device) as model:
        list(model.generate_tokens([3, 4], 1))
        # q and k together, v; o; gate, up; down
        assert device.counters()["jobs"] == shape.num_hidden_layers*6 + 1
    with mixpe.open("reference") as device:
        loader = DeviceLoader(device)
        checkpoint = open_checkpoint(written(small, "gptq, order of its own", tmp_path))
        tensors = [checkpoint.tensors[f"model.layers.0.self_attn.{part}_proj.weight"] for part in "qkv"]
        loader.load("layers.0.qkv", tensors)
        assert len(loader.layers) == 3
        assert (tensors[0].permutation != tensors[1].permutation).any()
        loader.load("twice", [tensors[0], tensors[0]])
        assert len(loader.layers) == 4


def test_the_tied_head_is_the_stored_embedding(small, tmp_path):
    path = written(small, "Q8_0", tmp_path)
    with mixpe.open("reference") as device, LlamaModel.from_pretrained(path, device) as model:
        head = model.jobs["lm_head"].linear.matrix
        assert head.dequantize().tobytes() == open_checkpoint(path).tensors["model.embed_tokens.weight"
            ].dequantize().tobytes()
        assert not model.notes


def test_activations_by_default(small, tmp_path):
    path = written(small, "Q8_0", tmp_path)
    with LlamaModel.from_pretrained(path, "reference") as model:
        assert model.jobs["lm_head"].linear.activations == "a16"
    with LlamaModel.from_pretrained(path, "reference", activations="a8") as model:
        assert model.jobs["lm_head"].linear.activations == "a8"
    with LlamaModel.from_pretrained(device="reference") as model:
        assert model.jobs["lm_head"].linear.activations == "a8"
