# SPDX-License-Identifier: BSD-2-Clause
"""Text from a model: its tokenizer, and a generation as pieces of text."""

from mixpe.errors import ModelError
from mixpe.formats.gguf import GgufFile
from mixpe.text import ByteTokenizer, gguf, open_tokenizer

_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer.bin")  # the first that is there is read


def tokenizer_of(checkpoint):
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    checkpoint : mixpe.formats.checkpoint.Checkpoint

    Returns
    -------
    Tokenizer

    Raises
    ------
    ModelError
        There is none, or it is damaged or of a kind that is not supported.
    ToolError
        A library of the extra `text` is needed and not installed.
    """
    source, rows = checkpoint.tokenizer, checkpoint.architecture.vocab_size
    if source.pairs is not None and "tokenizer.ggml.model" in source.pairs:
        return gguf.read(source.pairs, str(checkpoint.path))
    if "tokenizer.gguf" in source.files:  # of a GGUF file that mixpe quantize read
        path = source.files["tokenizer.gguf"]
        return gguf.read(GgufFile(path).pairs, str(path))
    for name in _FILES:
        if name in source.files:
            return open_tokenizer(source.files[name], rows)
    if rows == 256:
        return ByteTokenizer()
    raise ModelError(f"{checkpoint.path} has no tokenizer; use generate_tokens with tokens of your own")


class TextGeneration:
    """Iterator over a text, in pieces of whole characters, each as soon as it is certain.

    Parameters
    ----------
    generation : Generation
        Of integers.
    stream : TextStream
    """

    def __init__(self, generation, stream):
        self._generation = generation
        self._stream     = stream

    def __repr__(self):
        return f"TextGeneration({self._generation!r})"

    def __iter__(self):
        return self

    def __next__(self):
        for token in self._generation:
            text = self._stream.push(token)
            if text:
                return text
        rest = self._stream.finish()
        if not rest:
            raise StopIteration
        return rest

    @property
    def tokens(self):
        """Tokens made so far, the one that ended the text among them."""
        return self._generation.tokens

    def statistics(self):
        """See `Generation.statistics`."""
        return self._generation.statistics()
