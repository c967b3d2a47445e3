# SPDX-License-Identifier: BSD-2-Clause
"""Save the quantised weights of an offloaded model, and load them into a model of the same architecture.

The file is one of quantised matrices (`mixpe.formats.matrixfile`) under the names of the layers, with everything else
of the model's state beside them, in its own types.
"""

import json
from os import PathLike

import numpy as np
import torch

import mixpe
from mixpe.devices.device import Device
from mixpe.errors import DtypeError, ModelError
from mixpe.formats import safetensors
from mixpe.formats.mapping import parse_json
from mixpe.formats.matrixfile import Outline, load_matrices, metadata_of
from mixpe.quant.matrix import QuantizedMatrix
from mixpe.torch.layer import OffloadedLayer
from mixpe.torch.offload import layers_of, offload, release

KEY = "mixpe.activations"  # of the metadata: what each layer takes

_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}


def _stored(name, tensor):
    """A tensor as (dtype name, array); BF16, which numpy lacks, as uint16."""
    if tensor.is_meta or tensor.dtype not in _DTYPES:
        raise ModelError(f"{name} cannot be saved: it is {'on the meta device' if tensor.is_meta else tensor.dtype}")
    tensor = tensor.detach().cpu().contiguous()
    array  = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return _DTYPES[tensor.dtype], array.view(np.uint16) if tensor.dtype == torch.bfloat16 else array


def save(model: torch.nn.Module, path: str | PathLike[str]) -> None:
    """Write an offloaded model's quantised weights, and the rest of its state, to a safetensors file.

    Parameters
    ----------
    model : nn.Module
        After `offload`.
    path : path
        Appears when it is complete.

    Raises
    ------
    ModelError
        No layer is on a device, a tensor has a type that the file does not know, or the file cannot be written.
    """
    layers = layers_of(model, wanted=lambda module: isinstance(module, OffloadedLayer))
    if not layers:
        raise ModelError("no layer of the model is on a device; call mixpe.torch.offload first")
    linears  = {names[0]: layer.current() for layer, names in layers.items()}
    matrices = {name: linear.matrix for name, linear in linears.items()}
    outlines = {name: Outline(matrix.shape, matrix.bits, matrix.group_size, matrix.form)
        for name, matrix in matrices.items()}
    entries: dict[str, tuple] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, matrix in matrices.items():
        entries |= outlines[name].entries(name)
        arrays  |= {entry: getattr(matrix, entry.rpartition(".")[2]) for entry in outlines[name].entries(name)}
    weights = {f"{name}.weight" for names in layers.values() for name in names}
    for name, tensor in model.state_dict().items():
        if name in weights:
            continue
        if name in entries:
            raise ModelError(f"there are two tensors {name}")
        dtype, arrays[name] = _stored(name, tensor)
        entries[name] = dtype, tuple(tensor.shape)
    kinds = {KEY: json.dumps({name: linear.activations for name, linear in linears.items()})}
    with safetensors.Writer(path, entries, metadata_of(outlines) | kinds) as file:
        for name, array in arrays.items():
            if array.size:
                file.write(name, array)


def _check(path, model, matrices, others):
    """The layers that take the matrices: dict of name → layer. Refuses a file of another architecture."""
    layers = {names[0]: (layer, names) for layer, names in layers_of(model).items()}
    for name, matrix in matrices.items():
        if name not in layers:
            raise ModelError(f"{path}: the model has no linear layer {name}")
        n, k = matrix.shape
        have = layers[name][0].weight.shape
        if tuple(have) != ((n, k) if isinstance(layers[name][0], torch.nn.Linear) else (k, n)):
            raise ModelError(f"{path}: {name} is {n} x {k}, the model's has the weight {tuple(have)}")
    weights = {f"{alias}.weight" for name in matrices for alias in layers[name][1]}
    state   = {name: tensor for name, tensor in model.state_dict().items() if name not in weights}
    for name in sorted(set(state) ^ set(others)):
        raise ModelError(f"{path}: {name} is in the {'model' if name in state else 'file'} alone")
    for name, tensor in state.items():
        if tuple(tensor.shape) != others[name].shape:
            raise ModelError(f"{path}: {name} is {others[name].shape}, the model's {tuple(tensor.shape)}")
        if tensor.is_meta:
            raise ModelError(f"{name} is on the meta device; call model.to_empty(device='cpu') first")
    return {name: layers[name][0] for name in matrices}


def load(model: torch.nn.Module, path: str | PathLike[str], device: Device) -> torch.nn.Module:
    """Load what `save` wrote into a model of the same architecture, and its layers into a device.

    Layers on the device compute as they did when they were saved, to the bit. Their weight in PyTorch becomes what the
    quantised one stands for.

    Parameters
    ----------
    model : nn.Module
        Its own numbers are lost. It is changed once the file fits it; an error of the device leaves it in PyTorch.
    path : path
    device : device from `mixpe.open`

    Returns
    -------
    nn.Module
        The model.

    Raises
    ------
    DtypeError
        `model` is no `nn.Module`.
    ModelError
        No such file, a damaged or foreign one, or one of another architecture.
    MixpeError
        What the device raises.
    """
    if not isinstance(model, torch.nn.Module):
        raise DtypeError(f"load takes a torch.nn.Module, not {type(model).__name__}")
    matrices, others = load_matrices(path)
    kinds = parse_json(safetensors.read_header(path)[1].get(KEY, "{}"), KEY)
    layers = _check(path, model, matrices, others)
    if set(kinds) != set(matrices):
        raise ModelError(f"{path} was not written by mixpe.torch.save: its metadata have no {KEY} of every matrix")
    state = model.state_dict()
    fed   = {state[name].data_ptr() for name in others if state[name].numel()}
    with torch.no_grad():
        for name, array in others.items():
            state[name].copy_(torch.from_numpy(np.array(array)))
        for name, layer in layers.items():
            if layer.weight.data_ptr() not in fed:  # else it is tied to one that is in the file
                weight = torch.from_numpy(matrices[name].dequantize())
                layer.weight.copy_(weight if isinstance(layer, torch.nn.Linear) else weight.T)

    def quantised(name, weight):
        """The file's matrix the first time; one like it when the weight was changed since."""
        if (matrix := matrices[name]) is not None:
            matrices[name], like[name] = None, matrix
            return matrix
        return mixpe.quantize(weight, like[name].group_size, bits=like[name].bits)

    like: dict[str, QuantizedMatrix] = {}
    try:
        for kind in sorted(set(kinds.values())):
            names = {name for name, each in kinds.items() if each == kind}
            offload(model, device, activations=kind, only=names.__contains__, quantiser=quantised)
    except BaseException:
        release(model)
        raise
    return model
