# SPDX-License-Identifier: BSD-2-Clause
"""A checkpoint of any format as the language model takes it: its architecture, and its tensors as float32."""

import warnings

from mixpe.formats.checkpoint import Checkpoint
from mixpe.formats.open import open_checkpoint
from mixpe.lm.weights import Weights


def opened(path=None):
    """Open a checkpoint; what a user should know of it, such as numbers that its writer lost, is a warning.

    Parameters
    ----------
    path : path, str or Checkpoint, optional
        Folder, file, or a model's name; or what this gave before. Default: the packaged model.

    Returns
    -------
    mixpe.formats.checkpoint.Checkpoint

    Raises
    ------
    ModelError
        See `open_checkpoint`.
    """
    if isinstance(path, Checkpoint):
        return path
    found = open_checkpoint(path)
    for note in found.notes:
        warnings.warn(f"{found.path}: {note}", stacklevel=2)
    return found


def read(path=None):
    """Architecture and tensors of a checkpoint.

    Returns
    -------
    architecture : Architecture
    tensors : Weights
        Exactly those of `Architecture.tensor_shapes`; each is read and made float32 when it is asked for.

    Raises
    ------
    ModelError
        See `open_checkpoint`.
    """
    found = opened(path)
    return found.architecture, Weights(found.tensors)
