# SPDX-License-Identifier: BSD-2-Clause
"""Several sequences of different lengths in one pass: their tokens are rows of the same linear layers."""

import numpy as np

from mixpe.errors import ModelError
from mixpe.lm.request import as_batch


def forward_many(model, requests):
    """Run new tokens of several sequences through a model; their caches grow by them.

    Rows of an exact device do not depend on each other: each sequence gets the bits that it would get alone.

    Parameters
    ----------
    model : LlamaModel
    requests : list of (tokens, cache)
        (t,) integers, and a cache of `model.new_cache` of its own for each.

    Returns
    -------
    (len(requests), vocab) float32
        Logits of the last token of each.

    Raises
    ------
    ModelError
        No request, one cache twice, or what `LlamaModel.forward` refuses.
    """
    if not requests or len({id(cache) for _, cache in requests}) < len(requests):
        raise ModelError("a pass takes one sequence or more, each with a cache of its own")
    parts = [(as_batch(np.asarray(tokens)[None], cache, model.config), cache) for tokens, cache in requests]
    x     = model.hidden(parts)
    ends  = np.cumsum([tokens.size for tokens, _ in parts])
    return model.head(x[ends - 1])
