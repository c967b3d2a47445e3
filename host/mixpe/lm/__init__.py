# SPDX-License-Identifier: BSD-2-Clause
"""Language models through the accelerator: Llama in numpy, its linear layers on a device."""

from mixpe.lm.generation import Generation
from mixpe.lm.model import LlamaModel
from mixpe.lm.sampling import Sampler
from mixpe.lm.statistics import Phase, Statistics

__all__ = ["Generation", "LlamaModel", "Phase", "Sampler", "Statistics"]
