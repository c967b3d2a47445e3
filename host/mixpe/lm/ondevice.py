# SPDX-License-Identifier: BSD-2-Clause
"""A loaded model's decoder on its device: the program, what lies beside the weights, and the embedding."""

from contextlib import suppress

import numpy as np

from mixpe.devices.driver import driver_of
from mixpe.devices.linear import DeviceLinear
from mixpe.devices.program import DeviceProgram
from mixpe.errors import ConfigError, DeviceMemoryError
from mixpe.formats.convert import stored_matrix
from mixpe.formats.tensor import FloatTensor
from mixpe.lm.fit import Part, Rounding, job_plans, outline
from mixpe.lm.linear import job_tensors
from mixpe.lm.offload import SeveralLayers
from mixpe.lm.weights import TABLE, job_biases
from mixpe.program.compile import ACTIVATIONS, EMBEDDING, compile_program, context_of
from mixpe.program.jobs import HEAD, job_names
from mixpe.program.place import aligned
from mixpe.quant.quantize import quantize
from mixpe.quant.sqnr import sqnr_db

EMBEDDING_BITS, EMBEDDING_GROUP = 8, 32  # of an embedding that is stored as floats


def head_embeds(architecture, is_float, plans):
    """Whether rows of the embedding come from the head's weights: it is tied, and no coarser than they are stored.

    Parameters
    ----------
    architecture : Architecture
    is_float : bool
        The head's weights are stored as floats.
    plans : list of LayerPlan
        The head's.
    """
    if not architecture.tie_word_embeddings or len(plans) != 1:
        return False
    return plans[0].planes == 2 or not is_float


def embedding_matrix(part, minima):
    """An embedding of its own, packed.

    Parameters
    ----------
    part : array or Tensor
        (vocabulary, hidden).
    minima : bool
        The device has real minima.

    Returns
    -------
    matrix : Int4Matrix or Int8Matrix
    change : str
        What is not the file's own; "" where everything is.
    decibels : float or None
        Signal to noise against the file.

    Raises
    ------
    ConfigError
        Its columns are in an order of their own.
    """
    if isinstance(part, (np.ndarray, FloatTensor)):
        values = np.asarray(part, np.float32) if isinstance(part, np.ndarray) else part.dequantize()
        matrix = quantize(values, EMBEDDING_GROUP, bits=EMBEDDING_BITS)
        decibels = sqnr_db(values, matrix.dequantize())
        return matrix, f"quantised to {EMBEDDING_BITS} bits in groups of {EMBEDDING_GROUP}", decibels
    found = stored_matrix(part, minima)
    if found.permutation is not None:
        raise ConfigError("the embedding's columns are in an order of their own, which no decoder on a device follows")
    return found.matrix, found.change, found.decibels


def compile_checkpoint(architecture, tensors, config, rounding, activations="a16", context=None):
    """The program of a checkpoint, from shapes and forms alone: nothing is read but these, and no device is there.

    Parameters
    ----------
    architecture : Architecture
    tensors : Weights
    config : Config
        Of a device with a decoder.
    rounding : Rounding
        How weights that are stored as floats are quantised.
    activations : "a16" or "a8g"
    context : int, optional
        Positions of a session; default: as many as model and device have.

    Returns
    -------
    Program

    Raises
    ------
    ConfigError
        The device cannot run it.
    """
    parts = outline({name: [tensors.stored(source) for source in job_tensors(tensors, name)]
        for name in job_names(architecture)})
    return compile_parts(architecture, parts, Part.of(tensors.stored(TABLE)), config, rounding, activations, context)


def compile_parts(architecture, parts, table, config, rounding, activations="a16", context=None):
    """The program of a model that need not be there: as `compile_checkpoint`, from its matrices without their numbers.

    Parameters
    ----------
    parts : dict of job → list of Part
    table : Part
        The embedding.
    """
    if any(part.order is not None for some in parts.values() for part in some):
        raise ConfigError("the columns of a layer are in an order of their own, which no decoder on a device follows")
    plans = job_plans(parts, rounding, config, ACTIVATIONS[activations])
    own   = None
    if not head_embeds(architecture, parts[HEAD][0].stored is None, plans[HEAD]):
        form = Rounding(EMBEDDING_BITS, EMBEDDING_GROUP)
        own, = job_plans({TABLE: [table]}, form, config, False)[TABLE]
    return compile_program(architecture, config, plans, own, activations=activations, context=context)


class DeviceDecoder:
    """A model's decoder on the device that has its layers.

    Parameters
    ----------
    device : Device
        With a decoder.
    architecture : Architecture
    weights : Weights
    jobs : dict of job → what computes it
        As `DeviceLoader.load` gives it.
    activations : str
    context : int, optional
        Positions of a session; default: as many as model, device and its free memory have.
    ends : iterable of int
        Tokens that end a text.

    Attributes
    ----------
    program : DeviceProgram
    notes : tuple of str
        What of the embedding is not the file's own.

    Raises
    ------
    ConfigError
        The device's decoder cannot run the model.
    DeviceMemoryError
        It does not fit; nothing is left behind.
    """

    def __init__(self, device, architecture, weights, jobs, activations, context=None, ends=()):
        if activations not in ACTIVATIONS:
            raise ConfigError(f"a decoder on a device takes the activations {' or '.join(ACTIVATIONS)}, not "
                f"{activations}")
        layers = {name: _layers_of(name, jobs[name]) for name in job_names(architecture)}
        plans  = {name: [layer.plan for layer in some] for name, some in layers.items()}
        self.notes, self._embedding, self._table = (), None, None
        floats = isinstance(weights.stored(TABLE), (np.ndarray, FloatTensor))
        found  = {f"{name}.{index}": layer for name, some in layers.items() for index, layer in enumerate(some)}
        try:
            if head_embeds(architecture, floats, plans[HEAD]):
                self._source = layers[HEAD][0]
            else:
                self._source = self._load_embedding(device, weights.stored(TABLE))
                found[EMBEDDING] = self._source
            own = None if self._embedding is None else self._source.plan
            program = _fitting(device, context, context_of(architecture, device.config, context),
                lambda positions: compile_program(architecture, device.config, plans, own, activations=activations,
                    context=positions))
            biases = job_biases(architecture, weights)
            self.program = DeviceProgram(driver_of(device), program, found,
                lambda: program.constants.pieces(weights, biases), ends)
        except BaseException:
            self._free_embedding()
            raise

    def _load_embedding(self, device, part):
        matrix, change, decibels = embedding_matrix(part, device.config.minima)
        if change:
            layout = "float" if isinstance(part, np.ndarray) else part.layout
            self.notes = (f"the embedding ({layout}) {change}, {decibels} dB against the file",)
        self._embedding = device.load(matrix, name="the embedding")
        return self._embedding

    def embedded(self, tokens):
        """Rows of the embedding as the device has them: (r,) integers → (r, hidden) float32."""
        if self._table is None:
            self._table = self._source.matrix
        return self._table.channels(np.asarray(tokens)).dequantize()

    @property
    def context(self):
        """Positions of a session."""
        return self.program.program.context

    def free(self):
        """Give its memory back."""
        self.program.free()
        self._free_embedding()

    def _free_embedding(self):
        embedding, self._embedding = self._embedding, None
        if embedding is not None:
            embedding.free()


def _layers_of(name, job):
    """The layers of a job: list of DeviceLinear."""
    if isinstance(job, SeveralLayers):
        if any(order is not None for _, order in job.layers):
            raise ConfigError(f"the columns of {name} are in an order of their own, which no decoder on a device "
                "follows")
        return [layer for layer, _ in job.layers]
    if not isinstance(job, DeviceLinear):
        raise ConfigError(f"{name} is not in the device's memory, where its decoder needs it")
    return [job]


def _fitting(device, wished, most, compiled):
    """The program of most positions with which a session fits the device's memory beside it."""
    driver = driver_of(device)
    positions = most
    while True:
        program = compiled(positions)
        with suppress(DeviceMemoryError):
            memory = driver.memory.copy()
            for size in (program.constants.size, program.bytes, program.block.bytes if program.block else 0,
                    program.session.size, 4*(positions + 1)):
                memory.allocate(aligned(size))
            return program
        if wished is not None or positions <= 64:
            needed = program.constants.size + program.bytes + program.session.size
            raise DeviceMemoryError(f"{needed} bytes for a decoder with {positions} positions do not fit the device's "
                f"memory, of which {driver.memory.free_bytes} are free")
        positions = max(64, positions//2)
