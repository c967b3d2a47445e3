# SPDX-License-Identifier: BSD-2-Clause
"""Find the tokenizer of a model's folder, or of one file, by what is there."""

from pathlib import Path

from mixpe.errors import ModelError
from mixpe.text import llama2c, sentencepiecemodel, settings, tokenizerjson
from mixpe.text.chat import ChatTemplate

_OTHER = {  # file of another kind: the way out
    "tekken.json": "the same model's files for transformers have a tokenizer.json",
    "vocab.json":  "transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…) makes a tokenizer.json of it",
    "vocab.txt":   "WordPiece belongs to models that do not write text",
}


def open_tokenizer(path, count=None):
    """Read the tokenizer of a model.

    Parameters
    ----------
    path : path
        A model's folder, or its tokenizer.json, tokenizer.model or tokenizer.bin. Settings and chat template are read
        from the files beside it.
    count : int, optional
        vocab_size of the model; a tokenizer.bin does not say its own.

    Returns
    -------
    Tokenizer

    Raises
    ------
    ModelError
        None there, damaged, or of a kind that is not supported.
    ToolError
        A library is needed that is not installed.

    See Also
    --------
    mixpe.text.gguf.read : for the header of a GGUF file.
    """
    path   = Path(path)
    folder = path if path.is_dir() else path.parent
    file   = _find(folder) if path.is_dir() else path
    if file.suffix not in (".json", ".model", ".bin"):
        raise ModelError(f"{file} is no tokenizer: tokenizer.json, tokenizer.model and tokenizer.bin are read")
    if file.suffix == ".bin":
        return llama2c.read(file, count)
    said = settings.read(folder)
    chat = ChatTemplate(said.templates, said.names) if said.templates else None
    if file.suffix == ".json":
        return tokenizerjson.read(file, said, chat)
    return sentencepiecemodel.read(file, said, chat)


def _find(folder):
    for name in ("tokenizer.json", "tokenizer.model", "tokenizer.bin"):
        if (folder/name).is_file():
            return folder/name
    for name, advice in _OTHER.items():
        if (folder/name).is_file():
            raise ModelError(f"{folder} has its tokens in {name}, which is not supported: {advice}")
    raise ModelError(f"{folder} has no tokenizer: tokenizer.json, tokenizer.model or tokenizer.bin")
