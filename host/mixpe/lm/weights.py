# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint's tensors as float32, each made when it is asked for, so that one at a time is in memory."""

from collections.abc import Mapping

import numpy as np

from mixpe.program.jobs import JOBS, job_names

TABLE = "model.embed_tokens.weight"  # the embedding


class Weights(Mapping):
    """Tensors by name as float32 arrays.

    Parameters
    ----------
    tensors : Mapping of name → array or `mixpe.formats.tensor.Tensor`
        Arrays of any floating type; tensors of any layout, which stay in their file.
    """

    def __init__(self, tensors):
        self._tensors = tensors

    def __getitem__(self, name):
        tensor = self._tensors[name]
        return np.asarray(tensor, np.float32) if isinstance(tensor, np.ndarray) else tensor.dequantize()

    def __iter__(self):
        return iter(self._tensors)

    def __len__(self):
        return len(self._tensors)

    def __contains__(self, name):
        return name in self._tensors

    def stored(self, name):
        """A tensor as it is: an array, or a `Tensor` of its file."""
        return self._tensors[name]

    def rows(self, name, indices):
        """Some rows of a matrix: (r,) integers → (r, k) float32."""
        tensor = self._tensors[name]
        if isinstance(tensor, np.ndarray):
            return tensor[indices].astype(np.float32, copy=False)
        return tensor.dequantize(indices)


def job_biases(config, weights):
    """Biases of the jobs that have one: dict of job → (n,) float32, zeros where a part of the job has none."""
    shapes, biases = config.tensor_shapes(), {}
    for name in job_names(config)[:-1]:
        layer, _, job = name.rpartition(".")
        parts = [f"model.{layer}.{part}" for part in JOBS[job]]
        if any(f"{part}.bias" in shapes for part in parts):
            biases[name] = np.concatenate([weights[f"{part}.bias"] if f"{part}.bias" in shapes
                                           else np.zeros(shapes[f"{part}.weight"][0], np.float32) for part in parts])
    return biases
