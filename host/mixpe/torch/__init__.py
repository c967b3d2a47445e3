# SPDX-License-Identifier: BSD-2-Clause
"""Run the linear layers of a PyTorch model on a device.

    model = transformers.LlamaForCausalLM.from_pretrained(…)
    mixpe.torch.offload(model, mixpe.open("sim"), group_size=128)
    model.generate(…)
    mixpe.torch.save(model, "model.safetensors")   # the quantised weights, for mixpe.torch.load
    mixpe.torch.release(model)

A layer stays the object that it was, with its own weights: `state_dict`, `save_pretrained`, ties and hooks are those of
the model, and a copy or a pickle of it is a plain PyTorch model. PyTorch is imported here only. Layers compute in
inference alone: a backward pass through one is refused.
"""

from mixpe.torch.files import load, save
from mixpe.torch.layer import OffloadedLayer, OffloadedLinear
from mixpe.torch.offload import offload, release

__all__ = ["OffloadedLayer", "OffloadedLinear", "load", "offload", "release", "save"]
