# SPDX-License-Identifier: BSD-2-Clause
"""Sequences of different lengths in one pass get the bits that each gets alone."""

import numpy as np
import pytest

import mixpe
from mixpe.errors import ModelError
from mixpe.lm.batch import forward_many

TEXTS = (b"def read(self):", b"x", b"import os\nimport sys\n")


@pytest.fixture(scope="module")
def model():
    with mixpe.LlamaModel.from_pretrained(device="reference") as model:
        yield model


@pytest.mark.parametrize("arithmetic", ["float32", "decoder"])
def test_each_sequence_gets_its_own_bits(arithmetic, model):
    model = model.in_arithmetic(arithmetic)
    alone, caches = [], [model.new_cache() for _ in TEXTS]
    for text in TEXTS:
        cache = model.new_cache()
        first = model.forward(np.frombuffer(text, np.uint8)[None], cache, last_only=True)[0, -1]
        alone.append((first, model.forward([[7]], cache)[0, -1], model.forward([[9]], cache)[0, -1]))
    texts = [np.frombuffer(text, np.uint8) for text in TEXTS]
    found = forward_many(model, list(zip(texts, caches, strict=True)))
    np.testing.assert_array_equal(found, [each[0] for each in alone])
    found = forward_many(model, [([7], cache) for cache in caches])
    np.testing.assert_array_equal(found, [each[1] for each in alone])
    found = forward_many(model, [([9], caches[2]), ([9], caches[0])])  # in any order, and not all of them
    np.testing.assert_array_equal(found, [alone[2][2], alone[0][2]])
    assert [cache.length for cache in caches] == [len(TEXTS[0]) + 2, 2, len(TEXTS[2]) + 2]


def test_what_is_refused(model):
    cache = model.new_cache()
    for requests in ([], [([1], cache), ([2], cache)], [([256], cache)], [([], cache)]):
        with pytest.raises(ModelError):
            forward_many(model, requests)
    assert cache.length == 0
