# SPDX-License-Identifier: BSD-2-Clause
"""The vocabulary of the packaged model: 256 tokens, one a byte."""

from mixpe.text.tokenizer import Tokenizer


class ByteTokenizer(Tokenizer):
    """One token a byte of UTF-8; no special tokens."""

    def __init__(self):
        super().__init__("bytes", {byte: bytes([byte]) for byte in range(256)})

    def _encode(self, text, add_special, parse_special):
        return list(text.encode())
