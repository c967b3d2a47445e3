# SPDX-License-Identifier: BSD-2-Clause
"""What lies in the device beside the weights: norms, biases, a table of angles, and the identity that embeds."""

import numpy as np

from mixpe.formats.rope import rope_tables
from mixpe.program.jobs import JOBS
from mixpe.program.place import CONSTANTS, Arena
from mixpe_gateware.contract.decoder.float32 import flush, short

PIECE_ROWS = 256  # of the identity that are made at a time


def biased_jobs(architecture):
    """Jobs with a bias, of all layers: dict of name → channels."""
    shapes, found = architecture.tensor_shapes(), {}
    for layer in range(architecture.num_hidden_layers):
        for job, parts in JOBS.items():
            names = [f"model.layers.{layer}.{part}" for part in parts]
            if any(f"{name}.bias" in shapes for name in names):
                found[f"layers.{layer}.{job}"] = sum(shapes[f"{name}.weight"][0] for name in names)
    return found


class Constants(Arena):
    """Places of all of it, by the names of tensors, jobs ("….bias"), "angles" and "identity".

    Parameters
    ----------
    architecture : Architecture
    context : int
        Positions of the table of angles.
    columns : int
        Of the embedding, padded: those of the identity.
    """

    def __init__(self, architecture, context, columns):
        super().__init__(CONSTANTS)
        self._architecture, self._context, self._columns = architecture, context, columns
        self._norms  = {name: shape[0] for name, shape in architecture.tensor_shapes().items()
            if name.endswith("norm.weight")}
        self._biases = biased_jobs(architecture)
        for name, width in self._norms.items():
            self.add(name, 4*width)
        for name, width in self._biases.items():
            self.add(f"{name}.bias", 4*width)
        self.add("angles", 4*context*architecture.head_dim)
        self.add("identity", columns*columns)

    def pieces(self, weights, biases):
        """The contents: an iterator of (offset, (bytes,) uint8).

        Parameters
        ----------
        weights : Mapping of name → array
            With the norms.
        biases : dict of job → (n,) float32
            See `lm.weights.job_biases`.

        Raises
        ------
        RangeError
            A number is not finite.
        """
        for name in self._norms:
            yield self[name].offset, _bytes(flush(weights[name]))
        for name in self._biases:
            yield self[f"{name}.bias"].offset, _bytes(flush(biases[name]))
        rope, d  = self._architecture.rope, self._architecture.head_dim
        cos, sin = rope_tables(np.arange(self._context), rope.frequencies(d), rope.magnitude)
        yield self["angles"].offset, _bytes(short(np.concatenate([cos[:, :d//2], sin[:, :d//2]], axis=1)))
        columns = self._columns
        for start in range(0, columns, PIECE_ROWS):
            rows = min(PIECE_ROWS, columns - start)
            yield self["identity"].offset + start*columns, _bytes(np.eye(rows, columns, start, np.int8))


def _bytes(array):
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)
