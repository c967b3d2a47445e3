# SPDX-License-Identifier: BSD-2-Clause
"""Language models by the shapes of their linear layers, as `mixpe.lm` puts them on a device."""

from dataclasses import dataclass
from pathlib import Path

from mixpe.errors import ModelError, RangeError
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.mapping import read_json

PACKAGED = "mixpe"


@dataclass(frozen=True)
class Shape:
    """`count` layers of n output channels over k; `each_token` is false for the head, which prefill asks once."""

    name: str
    n: int
    k: int
    count: int
    each_token: bool = True


@dataclass(frozen=True, kw_only=True)
class Model:
    """Numbers of a model's published configuration, named as there."""

    name: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    head_dim: int

    def shapes(self):
        """Matrices that share their input are one, as on the device."""
        q, kv = self.num_attention_heads*self.head_dim, self.num_key_value_heads*self.head_dim
        width, inner, layers = self.hidden_size, self.intermediate_size, self.num_hidden_layers
        return (Shape("qkv", q + 2*kv, width, layers), Shape("o", width, q, layers),
            Shape("gate_up", 2*inner, width, layers), Shape("down", width, inner, layers),
            Shape("lm_head", self.vocab_size, width, 1, each_token=False))

    @property
    def weights(self):
        """Weights of the linear layers."""
        return sum(shape.n*shape.k*shape.count for shape in self.shapes())


def _model(name, hidden, inner, layers, heads, kv_heads, vocabulary, head_dim=None):
    return Model(name=name, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, vocab_size=vocabulary,
        head_dim=head_dim or hidden//heads)


# Source: the models' config.json, as published.
PUBLISHED = tuple(_model(*numbers) for numbers in (
    ("Qwen2.5-0.5B",   896,  4864, 24, 14,  2, 151936),
    ("TinyLlama-1.1B", 2048, 5632, 22, 32,  4,  32000),
    ("Llama-2-7B",     4096, 11008, 32, 32, 32, 32000),
    ("Mistral-7B",     4096, 14336, 32, 32,  8, 32000),
    ("Llama-3-8B",     4096, 14336, 32, 32,  8, 128256),
))


def of_config(name, config):
    """A model from an `Architecture`."""
    fields = [field for field in Model.__dataclass_fields__ if field != "name"]
    return Model(name=name, **{field: getattr(config, field) for field in fields})


def _of_folder(name, folder):
    path = folder/"config.json"
    try:
        return of_config(name, architecture_of(read_json(path), own_head=False))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def packaged_model():
    """The model that comes with the package."""
    return _of_folder(PACKAGED, Path(__file__).parents[1]/"models")


def find_models(names=None):
    """Models by name, without regard to case, or by a folder with a ``config.json``; all named ones if there are none.

    Raises
    ------
    RangeError
        No such model and no such folder.
    ModelError
        The configuration is of another architecture or damaged.
    """
    known = {model.name.lower(): model for model in (packaged_model(), *PUBLISHED)}
    if not names:
        return list(known.values())
    found = []
    for name in names:
        folder = Path(name)
        if name.lower() in known:
            found.append(known[name.lower()])
        elif (folder/"config.json").is_file():
            found.append(_of_folder(folder.resolve().name, folder))
        else:
            named = ", ".join(model.name for model in known.values())
            raise RangeError(f"no model {name!r}: there are {named}; or name a folder with a config.json")
    return found
