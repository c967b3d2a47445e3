# SPDX-License-Identifier: BSD-2-Clause
"""The libraries of the extra `text`: loaded when they are needed, and named when they are missing."""

import importlib
import importlib.util
from pathlib import Path

from mixpe.errors import ToolError


def missing(library, purpose):
    """The error for a library that is not installed."""
    return ToolError(f"{purpose} needs the Python package {library}: pip install 'mixpe[text]'")


def load(library, purpose):
    """Import a library of the extra.

    Raises
    ------
    ToolError
        It is not installed; the message says what installs it.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise missing(library, purpose) from error


def folder(library, purpose):
    """Folder that a library is imported from, without importing it.

    Raises
    ------
    ToolError
        It is not installed.
    """
    found = importlib.util.find_spec(library)
    if found is None or found.origin is None:
        raise missing(library, purpose)
    return str(Path(found.origin).parents[1])
