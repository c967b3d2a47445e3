# SPDX-License-Identifier: BSD-2-Clause
"""Layers packed by GPTQModel's and compressed-tensors' own code, read here, against their own dequantisation.

`make test-writers` installs both into an environment of their own, since they bring torch.
"""

import importlib
import importlib.util

import numpy as np
import pytest

from mixpe.formats import safetensors
from mixpe.formats.convert import exact_matrix
from mixpe.formats.open import open_checkpoint

pytestmark = pytest.mark.writers

LINEAR = [f"model.layers.{i}.{part}" for i in range(2) for part in ("self_attn.q_proj", "self_attn.k_proj",
    "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]


def needs(package):
    """Skip without a package; one that is there and does not import is an error."""
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


@pytest.fixture(scope="module")
def torch():
    return importlib.import_module("torch")


def written(folder, small, architecture, pack, quantization):
    """A model folder whose linear layers `pack` (module, weight (n, k)) makes; returns dict of name → exact weight."""
    weights = small.weights(architecture)
    tensors, exact, bfloat = {}, {}, set()
    for name, values in weights.items():
        module = name.removesuffix(".weight")
        if module not in LINEAR:
            tensors[name] = exact[name] = values
            continue
        parts, exact[name] = pack(module, values)
        for part, tensor in parts.items():
            if tensor is None:
                continue
            tensors[f"{module}.{part}"], is_bfloat = as_stored(tensor)
            bfloat |= {f"{module}.{part}"} if is_bfloat else set()
    small.write_folder(folder, small.config(architecture, quantization_config=quantization), {})
    names   = {np.dtype("i4"): "I32", np.dtype("f4"): "F32", np.dtype("f2"): "F16", np.dtype("i8"): "I64",
        np.dtype("i1"): "I8", np.dtype("u2"): "BF16"}
    entries = {name: ("BF16" if name in bfloat else names[array.dtype], array.shape) for name, array in tensors.items()}
    with safetensors.Writer(folder/"model.safetensors", entries) as file:
        for name, array in tensors.items():
            file.write(name, array)
    return exact


def as_stored(tensor):
    """A torch tensor as an array, BF16 as uint16, and whether it is one."""
    import torch
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(np.uint16), True
    return tensor.contiguous().numpy(), False


def same(folder, exact, notes=()):
    """Every weight is the writer's, to the bit, also as a device takes it."""
    found = open_checkpoint(folder)
    assert found.notes == tuple(notes)
    for name, values in exact.items():
        tensor = found.tensors[name]
        assert tensor.dequantize().tobytes() == values.tobytes(), name
        module = name.removesuffix(".weight")
        if module in LINEAR and tensor.groups().scales.dtype == np.float16:
            order  = slice(None) if tensor.permutation is None else tensor.permutation
            assert exact_matrix(tensor).dequantize().tobytes() == values[:, order].tobytes(), name


def groups_of(values, g_idx, bits, symmetric):
    """Scales (n, groups) FP16 and zeros of a weight, from each group's range; also zeros at both ends of the codes."""
    top    = (1 << bits) - 1
    groups = int(g_idx.max()) + 1
    low    = np.stack([values[:, g_idx == g].min(axis=1) for g in range(groups)], axis=1)
    high   = np.stack([values[:, g_idx == g].max(axis=1) for g in range(groups)], axis=1)
    if symmetric:
        return ((2*np.maximum(-low, high)/top).astype(np.float16), np.full(low.shape, (top + 1)//2, np.float32))
    scale = ((high - low)/top).astype(np.float16)
    zero  = np.clip(np.rint(-low/scale.astype(np.float32)), 0, top).astype(np.float32)
    zero[::5, 0], zero[1::5, -1], zero[2::5, :] = 0, top, 0  # borrow, and none
    return scale, zero


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("checkpoint_format", ["gptq", "gptq_v2"])
@pytest.mark.parametrize("group_size, act_order", [(32, False), (32, True), (-1, False)])
@needs("gptqmodel")
@pytest.mark.parametrize("packer", ["pack_block", "pack_original"])
def test_gptqmodel(torch, tmp_path, small, bits, symmetric, act_order, checkpoint_format, group_size, packer):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.quantization import QuantizeConfig
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
    rng  = np.random.default_rng(1)
    kept = QuantizeConfig(bits=bits, group_size=group_size, sym=symmetric, desc_act=act_order)

    def pack(module, values):
        n, k  = values.shape
        g_idx = np.arange(k)//(k if group_size == -1 else group_size)
        if act_order:
            g_idx = rng.permutation(g_idx)
        scale, zero = groups_of(values, g_idx, bits, symmetric)
        layer  = TorchLinear(bits=bits, group_size=group_size, sym=symmetric, desc_act=act_order, in_features=k,
            out_features=n)
        linear = torch.nn.Linear(k, n, bias=False)
        linear.weight.data = torch.from_numpy(values.copy())
        getattr(layer, packer)(linear, torch.from_numpy(scale.astype(np.float32)), torch.from_numpy(zero.copy()),
            torch.from_numpy(g_idx.astype(np.int32)))
        # Its own layer's dequantised weight: the products of FP16 scales and codes in FP32, each exact.
        wide  = scale.astype(np.float32)
        codes = np.clip(np.rint((values + (wide*zero)[:, g_idx])/wide[:, g_idx]), 0, (1 << bits) - 1).astype(np.int32)
        exact = ((codes - zero[:, g_idx].astype(np.int32))*wide[:, g_idx]).astype(np.float32)
        layer.post_init()
        theirs = layer.dequantize_weight().T.to(torch.float32).numpy()
        assert (theirs == exact.astype(np.float16)).all()  # in FP16: the test's own codes are the writer's
        if checkpoint_format == "gptq":
            convert_gptq_v2_to_v1_format_module(layer, kept)
        return {part: getattr(layer, part) for part in ("qweight", "qzeros", "scales", "g_idx")}, exact

    quantization = {"quant_method": "gptq", "bits": bits, "group_size": group_size, "sym": symmetric,
        "desc_act": act_order, "checkpoint_format": checkpoint_format, "meta": {"quantizer": ["gptqmodel:7.7.0"]}}
    same(tmp_path, written(tmp_path, small, small.architecture(), pack, quantization))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("strategy, group_size", [("group", 32), ("channel", None), ("tensor", None)])
@needs("compressed_tensors")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_compressed_tensors(torch, tmp_path, small, bits, symmetric, strategy, group_size, dtype):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams
    kind   = getattr(torch, dtype)
    args   = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy=strategy, group_size=group_size)
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format="pack-quantized")
    packer = BaseCompressor.get_value_from_registry("pack-quantized")

    def pack(module, values):
        n, k   = values.shape
        weight = torch.from_numpy(values.copy()).to(kind)
        ranged = {"group": weight.reshape(n, -1, group_size or k), "channel": weight.reshape(n, 1, k),
            "tensor": weight.reshape(1, 1, -1)}[strategy]
        scale, zero = calculate_qparams(ranged.amin(dim=-1), ranged.amax(dim=-1), args)
        scale, zero = (each.reshape(1) if strategy == "tensor" else each for each in (scale.to(kind), zero))
        state = {"weight": weight, "weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}
        parts = packer.compress(state, scheme)
        wide  = {name: tensor.to(torch.float32) if name == "weight_scale" else tensor for name, tensor in parts.items()}
        return parts, packer.decompress(wide, scheme)["weight"].to(torch.float32).numpy()

    quantization = {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": args.model_dump(mode="json")}}}
    exact = written(tmp_path, small, small.architecture(), pack, quantization)
    same(tmp_path, exact)


@pytest.mark.parametrize("n, k", [(13, 61), (8, 100), (5, 30)])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@needs("compressed_tensors")
def test_compressed_tensors_of_odd_sizes(torch, n, k, bits, symmetric):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    from mixpe.formats.compressed_tensors import PackedTensor
    args   = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="channel")
    scheme = QuantizationScheme(targets=["Linear"], weights=args, format="pack-quantized")
    packer = BaseCompressor.get_value_from_registry("pack-quantized")
    rng    = np.random.default_rng(0)
    top    = 1 << (bits - 1)
    zero   = np.zeros((n, 1), np.int8) if symmetric else rng.integers(-top, top, (n, 1), np.int8)
    state  = {"weight": torch.from_numpy(rng.standard_normal((n, k)).astype(np.float32)),
        "weight_scale": torch.from_numpy(rng.uniform(0.01, 0.1, (n, 1)).astype(np.float32)),
        "weight_zero_point": torch.from_numpy(zero)}
    parts  = packer.compress(state, scheme)
    names  = {torch.int32: "I32", torch.float32: "F32", torch.int64: "I64"}
    tensor = PackedTensor("m", {part: (names[value.dtype], value.numpy()) for part, value in parts.items()},
        [(bits, None)])
    assert tensor.dequantize().tobytes() == packer.decompress(parts, scheme)["weight"].numpy().tobytes()
