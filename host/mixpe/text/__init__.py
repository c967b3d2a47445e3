# SPDX-License-Identifier: BSD-2-Clause
"""Text and tokens: tokenizers, one file a kind, streams of text, and chat templates.

    tokenizer = mixpe.text.open_tokenizer("path/to/model")   # folder; mixpe.text.gguf.read for a GGUF header
    tokens    = tokenizer.encode("Hello")
    stream    = tokenizer.stream()                            # stream.push(token) → text
    prompt    = tokenizer.chat.encode(tokenizer, [{"role": "user", "content": "Hello"}])
"""

from mixpe.text.bytevocabulary import ByteTokenizer
from mixpe.text.chat import ChatTemplate
from mixpe.text.open import open_tokenizer
from mixpe.text.stream import TextStream
from mixpe.text.tokenizer import Tokenizer

__all__ = ["ByteTokenizer", "ChatTemplate", "TextStream", "Tokenizer", "open_tokenizer"]
