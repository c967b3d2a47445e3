# SPDX-License-Identifier: BSD-2-Clause
"""Language models by the shapes of their linear layers, as `mixpe.lm` puts them on a device."""

from dataclasses import dataclass
from pathlib import Path

from mixpe.errors import ModelError, RangeError
from mixpe.formats.architecture import Architecture
from mixpe.formats.convert import StoredForm
from mixpe.formats.hf_config import architecture_of
from mixpe.formats.mapping import read_json
from mixpe.lm.fit import Part
from mixpe.program.jobs import HEAD, JOBS, job_names
from mixpe_gateware.contract.scaling import Form

PACKAGED = "mixpe"


@dataclass(frozen=True)
class Shape:
    """`count` layers of n output channels over k; `each_token` is false for the head, which prefill asks once.

    `stored` is what of them a file has; None: floats, which are quantised as one wishes.
    """

    name: str
    n: int
    k: int
    count: int
    each_token: bool = True
    stored: StoredForm | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model without its numbers.

    Attributes
    ----------
    name : str
    architecture : Architecture
    stored, head : StoredForm or None
        What its file has of the linear layers and of the output head; None: floats.
    """

    name: str
    architecture: Architecture
    stored: StoredForm | None = None
    head: StoredForm | None = None

    def shapes(self):
        """Matrices that share their input are one, as on the device."""
        parts, layers = self.parts(), self.architecture.num_hidden_layers
        return (*(Shape(job, sum(part.n for part in parts[f"layers.0.{job}"]), parts[f"layers.0.{job}"][0].k, layers,
                        stored=self.stored) for job in JOBS),
            Shape(HEAD, self.table.n, self.table.k, 1, each_token=False, stored=self.head))

    @property
    def weights(self):
        """Weights of the linear layers."""
        return sum(shape.n*shape.k*shape.count for shape in self.shapes())

    def parts(self):
        """Its jobs' matrices: dict of job → list of Part."""
        shapes = self.architecture.tensor_shapes()
        found  = {}
        for name in job_names(self.architecture):
            layer, _, job = name.rpartition(".")
            found[name] = [self.table] if name == HEAD else [
                Part(*shapes[f"model.{layer}.{part}.weight"], self.stored, None) for part in JOBS[job]]
        return found

    @property
    def table(self):
        """The embedding, of the head's shape and form: Part."""
        return Part(self.architecture.vocab_size, self.architecture.hidden_size, self.head, None)


def _model(name, hidden, inner, layers, heads, kv_heads, vocabulary, *, kind="llama", tied=False, stored=None,
           head=None, **keys):
    config = {"model_type": kind, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary,
        "tie_word_embeddings": tied, **keys}
    return Model(name=name, architecture=architecture_of(config, own_head=not tied), stored=stored, head=head)


_SMOLLM2 = 576, 1536, 30, 9, 3, 49152
_KEYS    = {"tied": True, "max_position_embeddings": 8192, "rope_theta": 100000, "rms_norm_eps": 1e-5}

# Source: the models' config.json, as published. SmolLM2-135M at four bits in groups of 64, and as its GGUF has it.
PUBLISHED = (
    _model("SmolLM2 W4",   *_SMOLLM2, **_KEYS, stored=StoredForm(4, 64), head=StoredForm(4, 64)),
    _model("SmolLM2 file", *_SMOLLM2, **_KEYS, stored=StoredForm(4, 32, Form.MINIMUM), head=StoredForm(8, 32)),
    _model("Qwen2.5-0.5B",   896,  4864, 24, 14,  2, 151936, kind="qwen2", tied=True, max_position_embeddings=32768),
    _model("TinyLlama-1.1B", 2048, 5632, 22, 32,  4,  32000, max_position_embeddings=2048),
    _model("Llama-2-7B",     4096, 11008, 32, 32, 32, 32000, max_position_embeddings=4096),
    _model("Mistral-7B",     4096, 14336, 32, 32,  8, 32000, kind="mistral", max_position_embeddings=32768),
    _model("Llama-3-8B",     4096, 14336, 32, 32,  8, 128256, max_position_embeddings=8192),
)


def _of_folder(name, folder):
    path = folder/"config.json"
    try:
        return Model(name=name, architecture=architecture_of(read_json(path), own_head=False))
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
