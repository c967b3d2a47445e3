# SPDX-License-Identifier: BSD-2-Clause
"""What is benchmarked: real shapes of linear layers, decode and prefill."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One linear layer. `n_run` channels are simulated; cycles are proportional to channels beyond a fixed start."""

    model: str
    name: str
    n: int
    k: int
    n_run: int

    @property
    def label(self):
        return f"{self.model} {self.name}"

    @property
    def is_cut(self):
        return self.n_run < self.n


# Shapes from the models' published configurations (hidden_size, intermediate_size).
LAYERS = (
    Layer(model="mixpe", name="qkv",     n=512,   k=256,   n_run=512),
    Layer(model="mixpe", name="gate_up", n=1024,  k=256,   n_run=1024),
    Layer(model="mixpe", name="down",    n=256,   k=512,   n_run=256),
    Layer(model="Llama-2-7B",   name="q_proj",    n=4096,  k=4096,  n_run=1024),
    Layer(model="Llama-2-7B",   name="down_proj", n=4096,  k=11008, n_run=1024),
    Layer(model="Llama-3-8B",   name="up_proj",   n=14336, k=4096,  n_run=1024),
    Layer(model="Qwen2.5-0.5B", name="gate_proj", n=4864,  k=896,   n_run=2560),
)
QUICK = ("mixpe gate_up", "Llama-2-7B q_proj", "Qwen2.5-0.5B gate_proj")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer in one way of running it."""

    layer: Layer
    phase: str        # "decode" (one token) or "prefill" (four tiles of rows where they fit)
    fused: bool
    activations: str  # "a8" or "a16"

    @property
    def mode(self):
        return "fused" if self.fused else "partials"


def cases(layers, *, fused=True):
    """Decode and prefill, partials and (where it is built) fused, A8 and A16 (fused only) of each layer."""
    for layer in layers:
        for phase in ("decode", "prefill"):
            if fused:
                yield Case(layer=layer, phase=phase, fused=True, activations="a8")
                yield Case(layer=layer, phase=phase, fused=True, activations="a16")
            yield Case(layer=layer, phase=phase, fused=False, activations="a8")
