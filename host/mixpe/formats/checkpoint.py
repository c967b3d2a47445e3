# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint, whatever file it came from: one record that every reader gives."""

from dataclasses import dataclass, field
from pathlib import Path

from mixpe.errors import ModelError
from mixpe.formats.architecture import Architecture
from mixpe.formats.brief import brief


@dataclass(frozen=True)
class TokenizerSource:
    """Where a checkpoint's tokenizer lies.

    Attributes
    ----------
    files : dict of name → Path
        Those that exist of tokenizer.json, tokenizer.model, tokenizer.bin, tokenizer_config.json, chat_template.jinja …
    pairs : Mapping or None
        The key-value pairs of a GGUF file.
    """

    files: dict = field(default_factory=dict)
    pairs: object = None


@dataclass(frozen=True)
class GenerationDefaults:
    """What a checkpoint says about generating.

    Attributes
    ----------
    bos_token_id : int or None
    eos_token_ids : tuple of int
        Each ends a text.
    add_bos : bool or None
        A prompt begins with bos; None: the tokenizer's own files say it.
    temperature, top_p : float or None
    top_k : int or None
    do_sample : bool or None
    """

    bos_token_id: int | None = None
    eos_token_ids: tuple = ()
    add_bos: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    do_sample: bool | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A model's shape, tensors and tokenizer.

    Attributes
    ----------
    path : Path
    layout : str
        For messages: "GGUF", "Hugging Face", "GPTQ" …
    architecture : Architecture
    tensors : dict of name → Tensor
        Exactly those of `Architecture.tensor_shapes`.
    tokenizer : TokenizerSource
    generation : GenerationDefaults
    notes : tuple of str
        What a user should know: what was guessed, what a writer lost. One line each.
    """

    path: Path
    layout: str
    architecture: Architecture
    tensors: dict
    tokenizer: TokenizerSource
    generation: GenerationDefaults
    notes: tuple = ()

    @property
    def nbytes(self):
        """That all tensors have in their file."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def checked(path, architecture, tensors):
    """The tensors of an architecture, in its order, each of its shape.

    Raises
    ------
    ModelError
        One is missing, of another shape, or not of this architecture.
    """
    if architecture.num_hidden_layers > len(tensors):
        raise ModelError(f"{path} says {architecture.num_hidden_layers} layers and has {len(tensors)} tensors in all")
    shapes = architecture.tensor_shapes()
    for name in tensors:
        if name not in shapes:
            raise ModelError(f"{path} has the tensor {brief(name)}, which a {architecture.family} model of "
                             f"{architecture.num_hidden_layers} layers does not have")
    for name, shape in shapes.items():
        if name not in tensors:
            raise ModelError(f"{path} lacks the tensor {name}, {shape}")
        if tensors[name].shape != shape:
            raise ModelError(f"{path}: {name} must have the shape {shape}, not {brief(tensors[name].shape)}")
    return {name: tensors[name] for name in shapes}
