# SPDX-License-Identifier: BSD-2-Clause
"""What a device is asked to do while faults strike, and what is right."""

import json
import tempfile
import warnings
from pathlib import Path

import numpy as np

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of

MODEL = {"vocab_size": 99, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 1,
    "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 80,
    "rms_norm_eps": 1e-5, "rope_theta": 1000.0, "tie_word_embeddings": True, "model_type": "llama"}
PROMPT, TOKENS = (5, 17, 40), 4


def _random_model(folder):
    """Write a small language model of random weights."""
    rng = np.random.default_rng(3)
    weights = {name: (rng.normal(size=shape)*(2.0/np.sqrt(shape[-1])) if len(shape) == 2
                      else rng.uniform(0.3, 1.7, shape)).astype(np.float32)
               for name, shape in architecture_of(MODEL, own_head=False).tensor_shapes().items()}
    (folder/"config.json").write_text(json.dumps(MODEL), encoding="utf-8")
    safetensors.save(folder/"model.safetensors", weights)


class Workload:
    """Two layers, one region of memory and, with a decoder, a language model; each phase is compared.

    Parameters
    ----------
    decoder : bool
        Runs of programs, too.
    n, k : int
        Of the layers.

    Attributes
    ----------
    phases : tuple of str
    """

    def __init__(self, decoder=False, n=24, k=128):
        rng = np.random.default_rng(11)
        self._matrices = [mixpe.quantize(rng.standard_normal((n, k)).astype(np.float32), 32) for _ in range(2)]
        self._x    = rng.standard_normal((3, k)).astype(np.float32)
        self._data = rng.integers(0, 256, 6000, dtype=np.uint8)
        with mixpe.open("reference") as device:
            self._right = [device.load(matrix)(self._x) for matrix in self._matrices]
        self.phases  = ("upload", "job", "read-back", *(("program",) if decoder else ()))
        self._folder = self._tokens = None
        if decoder:
            self._folder = tempfile.TemporaryDirectory()
            _random_model(Path(self._folder.name))

    def prepare(self, device):
        """Put the layers and the region on a device."""
        driver = driver_of(device)
        self._device = device
        self._layers = [device.load(matrix) for matrix in self._matrices]
        self._place  = driver.memory.allocate(self._data.size)
        driver.write_memory(self._place, self._data)
        self._model  = None

    def get_ready(self, phase):
        """Put what only this phase needs on the device; whether it is right there."""
        if phase == "program" and self._model is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what quantising random weights loses
                self._model = mixpe.LlamaModel.from_pretrained(self._folder.name, self._device, group_size=32,
                    decoder="device")
            found = self._generate()
            self._tokens = self._tokens or found
            return found == self._tokens
        return True

    def run(self, phase):
        """Carry out a phase; whether what came of it is right.

        Raises
        ------
        MixpeError
        """
        work = {"upload": self._upload, "job": self._job, "read-back": self._read_back, "program": self._program}
        return work[phase]()

    def all_right(self):
        """Whether everything on the device still is what it was: both layers, the region, the model."""
        return self._job(0) and self._job(1) and self._read_back() and (self._model is None or self._program())

    def _upload(self):
        layer = self._device.load(self._matrices[1])
        try:
            return np.array_equal(layer(self._x), self._right[1])
        finally:
            layer.free()

    def _job(self, index=0):
        return np.array_equal(self._layers[index](self._x), self._right[index])

    def _read_back(self):
        return np.array_equal(driver_of(self._device).read_memory(self._place, self._data.size), self._data)

    def _program(self):
        return self._generate() == self._tokens

    def _generate(self):
        return list(self._model.generate_tokens(list(PROMPT), TOKENS))
