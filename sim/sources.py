# SPDX-License-Identifier: BSD-2-Clause
"""Digest of the sources that a build depends on."""

import hashlib
from pathlib import Path

import mixpe.gateware
import mixpe.sim

SUFFIXES = (".py", ".c", ".h", ".cpp")
APART = ("cost", "explore")  # sub-packages of gateware that no accelerator is built from


def source_digest(*, sim=True):
    """Digest of the gateware's files, and with `sim` of the simulation's.

    Returns
    -------
    str
        Hexadecimal SHA-256 over names and contents.
    """
    digest = hashlib.sha256()
    for package in (mixpe.gateware, mixpe.sim) if sim else (mixpe.gateware,):
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if path.suffix in SUFFIXES and path.is_file() and name.parts[0] not in APART:
                digest.update(f"{package.__name__}/{name}".encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
