# SPDX-License-Identifier: BSD-2-Clause
"""Bring the linear layers of a model to a device, quantised weights as they are stored."""

from itertools import groupby

import numpy as np

from mixpe.devices import open_device
from mixpe.errors import DeviceMemoryError
from mixpe.formats.convert import StoredMatrix, stored_matrix
from mixpe.formats.requantize import requantize
from mixpe.formats.tensor import FloatTensor
from mixpe.lm.fit import Rounding, Space, job_plans, outline, residence
from mixpe.lm.offers import refuse
from mixpe.lm.streamcache import StreamCache
from mixpe.lm.streaming import Stream
from mixpe.plan.layer import LayerShape
from mixpe.program.jobs import HEAD
from mixpe.quant.matrix import joined
from mixpe.quant.quantize import quantize


def _floats(part):
    """Float32 of a floating tensor or array; None of a quantised one."""
    if isinstance(part, np.ndarray):
        return np.asarray(part, np.float32)
    return part.dequantize() if isinstance(part, FloatTensor) else None


def _alike(found):
    """What matrices must have in common to be one job."""
    order = None if found.permutation is None else found.permutation.tobytes()
    return found.matrix.bits, found.matrix.form, found.matrix.group_size, order


class SeveralLayers:
    """Layers that share an input and not a format, or take its columns in an order of their own.

    Parameters
    ----------
    device : device from `mixpe.open`
    layers : list of (layer, permutation or None)
        Joined along n; a layer takes x[:, permutation].
    """

    def __init__(self, device, layers):
        self._device = device
        self.layers  = layers

    def __call__(self, x):
        """(m, k) float32 → (m, n) float32."""
        found = self._device.run([(layer, x if order is None else np.ascontiguousarray(x[:, order]))
            for layer, order in self.layers])
        return np.concatenate(found, axis=1)


class Changes:
    """What is not the file's own on a device, by kind."""

    def __init__(self):
        self._kinds = {}  # (layout, change): decibels of each tensor

    def add(self, layout, change, decibels):
        """Note what was changed in a tensor, if anything."""
        if change:
            self._kinds.setdefault((layout, change), []).append(decibels)

    def rows(self):
        """Arguments of each `add`: list of [layout, change, decibels]."""
        return [[*kind, each] for kind, decibels in self._kinds.items() for each in decibels]

    def notes(self):
        """One line a kind: how many tensors, and the signal to noise against the file."""
        lines = []
        for (layout, change), decibels in self._kinds.items():
            low, high = f"{min(decibels):.1f}", f"{max(decibels):.1f}"
            span = low if low == high else f"{low} … {high}"
            lines.append(f"{len(decibels)} of {layout} {change}, {span} dB against the file")
        return tuple(lines)


class DeviceLoader:
    """Loads jobs into a device, one after the other; one job's matrices are in memory at a time.

    Parameters
    ----------
    device : device from `mixpe.open`, or its URL
        A device opened here is closed by `close`; another one stays open, and only its layers are freed.
    group_size, bits : int
        For weights that are stored as floats.
    activations : str
        One of `plan.kinds`.
    quantiser : callable, optional
        (name, weight (n, k) float32) → Int4Matrix or Int8Matrix, for weights that are stored as floats. Default: round
        to nearest.
    head : (bits, group size), optional
        Of the output head, rounded to nearest, whatever it is stored as. Default: as any other layer.
    owned : bool
        The device is to be closed by `close`.
    checkpoint : Checkpoint, optional
        Where all jobs are from: their weight streams are kept in a file, and taken from there the next time.

    Attributes
    ----------
    layers : list
        Loaded layers that stay.
    changes : Changes
    """

    def __init__(self, device, *, group_size=128, bits=4, activations="a8", quantiser=None, head=None,
            checkpoint=None, owned=False):
        self._round       = lambda weight: quantize(weight, group_size, bits=bits)
        self._quantise    = quantiser or (lambda name, weight: self._round(weight))
        self._rounding    = Rounding(bits, group_size, head)
        self._activations = activations
        self._jobs     = 0
        self._streamed = frozenset()
        self._stream   = None
        self._owned  = owned or isinstance(device, str)
        self.layers  = []
        self.changes = Changes()
        self.device  = open_device(device) if isinstance(device, str) else device
        self._cache  = None
        if checkpoint is not None and quantiser is None:
            self._cache = StreamCache(checkpoint, self.device.config, [group_size, bits, activations, head])

    def settle(self, jobs, stream=False):
        """See that a model fits before any of it is sent; else refuse it, or say which of its jobs are streamed.

        Parameters
        ----------
        jobs : dict of name → list of (n, k) array or Tensor
            All that will be loaded, in that order.
        stream : bool
            Keep what fits, and send the other jobs each time that they are called.

        Raises
        ------
        ModelMemoryError
            It does not fit, and is not to be streamed; it says by how much, and what would.
        DeviceMemoryError
            The memory is too small for streaming, too.
        """
        space, wide, parts = Space.of_device(self.device), self._activations == "a16", outline(jobs)
        if not stream:
            refuse(parts, self._rounding, space, wide)
            return
        plans = job_plans(parts, self._rounding, space.config, wide)
        found = residence(space, plans)
        if found is None:
            raise DeviceMemoryError(f"{space.free_bytes} bytes of the device's memory are free; one token of this "
                f"model needs {space.least_bytes(plans)} beside eight channels of its widest layer")
        if found.streamed:
            self._jobs     = len(jobs)
            self._streamed = frozenset(found.streamed)
            if self._cache is not None:  # which holds whole models
                self._cache.abandon()
                self._cache = None
            self._stream   = Stream(self.device, found, self._activations)

    def notes(self):
        """What a user should know of the loaded model: tuple of str, one line each."""
        costs = () if self._stream is None else (self._stream.note(self._jobs),)
        return self.changes.notes() + costs

    def load(self, name, parts):
        """Load one job; returns what computes it, (m, k) float32 → (m, n) float32.

        Parameters
        ----------
        name : str
        parts : list of (n, k) array or Tensor
            Joined along n. A quantised tensor goes to the device as `stored_matrix` makes it; those that then differ
            in bits, form, group size or order of columns are jobs of their own.
        """
        if name in self._streamed:
            return self._stream.layers(self._matrices(name, parts, self.changes))
        kept = None if self._cache is None else self._cache.job(name)
        if kept is None:
            changes  = Changes()
            matrices = self._matrices(name, parts, changes)
            changes  = changes.rows()
        else:
            matrices, changes = kept
        loaded = []
        for index, (matrix, order) in enumerate(matrices):
            def remake(index=index):
                return self._matrices(name, parts, Changes())[index][0]

            part = name if len(matrices) == 1 else f"{name}.{index}"
            loaded.append((self._load(part, matrix, order, remake), order))
        for row in changes:
            self.changes.add(*row)
        self._end_job(name, changes, loaded)
        (layer, order), *others = loaded
        return layer if order is None and not others else SeveralLayers(self.device, loaded)

    def _load(self, name, matrix, order, remake):
        """Load one layer, and keep its stream."""
        writer  = None if self._cache is None else self._cache.writer
        options = {"activations": self._activations, "remake": remake, "name": name}
        if writer is not None:
            entry = writer.section()
            options["keep"] = lambda piece: writer.write(entry, piece)
        layer = self.device.load(matrix, **options)
        self.layers.append(layer)
        if writer is not None:
            writer.end_layer(LayerShape.of(matrix), entry, order)
        return layer

    def _end_job(self, name, changes, loaded):
        writer = None if self._cache is None else self._cache.writer
        if writer is None:
            return
        if all(layer.fused for layer, _ in loaded):
            writer.end_job(name, changes)
        else:
            writer.drop_job()

    def finish(self):
        """All jobs are loaded."""
        if self._cache is not None:
            self._cache.finish()

    def _matrices(self, name, parts, changes):
        """Matrices of a job's parts with their permutations, joined where they are alike."""
        if name == HEAD and self._rounding.head is not None:
            return [(self._head(parts[0], changes), None)]
        floats = [_floats(part) for part in parts]
        if all(values is not None for values in floats):
            return [(self._quantise(name, np.concatenate(floats) if len(floats) > 1 else floats[0]), None)]
        found = []
        for part, values in zip(parts, floats, strict=True):
            found.append(StoredMatrix(self._round(values)) if values is not None
                         else stored_matrix(part, self.device.config.minima))
            if values is None:
                changes.add(part.layout, found[-1].change, found[-1].decibels)
        runs = [list(run) for _, run in groupby(found, _alike)]
        return [(joined([one.matrix for one in run]), run[0].permutation) for run in runs]

    def _head(self, part, changes):
        bits, group_size = self._rounding.head
        values = _floats(part)
        if values is not None:
            return quantize(values, group_size, bits=bits)
        matrix, decibels = requantize(part, group_size, bits)
        changes.add(part.layout, f"requantised to {bits} bits in groups of {group_size}", decibels)
        return matrix

    def close(self):
        """Close the device if it was opened here, else free the layers' memory."""
        if self._cache is not None:
            self._cache.abandon()
        layers, self.layers = self.layers, []
        stream, self._stream, self._streamed = self._stream, None, frozenset()
        if stream is not None:
            stream.close()
        if self._owned:
            self.device.close()
        else:
            for layer in layers:
                layer.free()
