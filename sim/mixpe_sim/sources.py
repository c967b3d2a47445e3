# SPDX-License-Identifier: BSD-2-Clause
"""Digest of the sources that a build depends on: the modules that are imported from its top, and nothing else."""

import ast
import hashlib
import importlib.util
from functools import cache
from pathlib import Path

PACKAGES = ("mixpe_gateware", "mixpe_boards", "mixpe_sim", "mixpe")  # each is a folder of its own


@cache
def _folder(package):
    return Path(importlib.util.find_spec(package).submodule_search_locations[0])


def _file_of(name):
    """Source file of a module of mixpe, None for a name inside one and for other packages."""
    for package in PACKAGES:
        if name == package or name.startswith(package + "."):
            path = _folder(package).joinpath(*name[len(package):].split(".")[1:])
            if path.with_suffix(".py").is_file():
                return path.with_suffix(".py")
            return path / "__init__.py" if (path / "__init__.py").is_file() else None
    return None


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def source_files(*modules):
    """Modules that are imported, directly or not, by these: dict of name → file."""
    found, waiting = {}, list(modules)
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is not None and name not in found:
            found[name] = path
            waiting += _imports(path)
    return found


def source_digest(*modules, files=()):
    """Hexadecimal SHA-256 over names and contents of modules with all that they import, and of further files."""
    digest = hashlib.sha256()
    named = list(source_files(*modules).items()) + [(Path(path).name, Path(path)) for path in files]
    for name, path in sorted(named):
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
