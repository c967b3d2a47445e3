# SPDX-License-Identifier: BSD-2-Clause
"""What a model is asked to do, checked: tokens for a pass, and a prompt with the number of tokens to follow."""

import numpy as np

from mixpe.errors import DtypeError, ModelError, RangeError, ShapeError


def as_tokens(tokens, config):
    """Integers, or bytes or str for a byte-level model, as (t,) or (b, t) int64.

    Raises
    ------
    ModelError, DtypeError, ShapeError
    """
    if isinstance(tokens, str):
        tokens = tokens.encode()
    if isinstance(tokens, (bytes, bytearray, memoryview)):
        if config.vocab_size != 256:
            raise ModelError(f"text needs a byte-level model (vocab_size 256), not {config.vocab_size}")
        tokens = np.frombuffer(bytes(tokens), np.uint8)
    tokens = np.asarray(tokens)
    if tokens.size and tokens.dtype.kind not in "iu":
        raise DtypeError(f"tokens must be integers, not {tokens.dtype}")
    if tokens.ndim not in (1, 2):
        raise ShapeError(f"tokens must have one axis, or two for several sequences, not the shape {tokens.shape}")
    return tokens.astype(np.int64)


def as_request(prompt, n, config, context=None):
    """A prompt as (t,) int64, and the number of tokens to make.

    Parameters
    ----------
    context : int, optional
        Positions that there are; default: the trained context.

    Raises
    ------
    ModelError
        Empty prompt, or prompt and text longer than the trained context.
    RangeError
        `n` is no whole number from 1.
    """
    tokens = as_tokens(prompt, config)
    if tokens.ndim != 1:
        raise ShapeError(f"a prompt has one axis, not the shape {tokens.shape}")
    if not tokens.size:
        raise ModelError("the prompt is empty; give at least one byte")
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise RangeError(f"the number of tokens to make must be a whole number from 1, not {n!r}")
    context = config.max_position_embeddings if context is None else context
    name = "trained context" if context == config.max_position_embeddings else "context"
    if tokens.size + n - 1 > context:
        raise ModelError(f"a prompt of {tokens.size} and {n} new tokens are more than the {name} of "
                         f"{context}; at most {max(0, context + 1 - tokens.size)} can follow this prompt")
    return tokens, int(n)


def as_batch(tokens, cache, config):
    """Tokens that a cache can take: (b, t) int64.

    Raises
    ------
    ModelError
        No token, a token outside the vocabulary, or more than the trained context.
    """
    tokens = as_tokens(tokens, config)
    if tokens.ndim != 2 or len(tokens) != cache.batch:
        raise ShapeError(f"tokens must have the shape ({cache.batch}, t) for this cache, not {tokens.shape}")
    if not tokens.size:
        raise ModelError("there is no token to run; give at least one")
    context, vocabulary = config.max_position_embeddings, config.vocab_size
    if cache.length + tokens.shape[1] > context:
        raise ModelError(f"{cache.length + tokens.shape[1]} tokens are more than the trained context of {context}")
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocabulary:
        raise ModelError(f"tokens must be 0 … {vocabulary - 1}, found {low if low < 0 else high}")
    return tokens
