# SPDX-License-Identifier: BSD-2-Clause
"""The text that the packaged language model is trained and judged on: the standard library's own modules.

The corpus is every ``.py`` file of the running interpreter's standard library, except the test suites, what is
installed beside it (site-packages) and what the interpreter's build generated (``_sysconfigdata*``, ``config-*``):
generated files differ from build to build and name folders of the machine that built them.

The manifest lists each file by its path relative to the library with its size and SHA-256, sorted by path, and every
tenth file is held out. The held-out files are known by name, so an interpreter of another version still evaluates on
text that the model was not trained on; what differs from the manifest is counted, not hidden.
"""

import hashlib
import json
import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from mixpe.errors import ModelError

HELD_OUT_EVERY = 10     # files 9, 19, 29, ... of the sorted list are held out
SEPARATOR      = b"\0"  # stands between two files, and before the first byte of each

MANIFEST = Path(__file__).with_name("manifest.json")

_SKIPPED_FOLDERS  = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
_GENERATED_PREFIX = ("_sysconfigdata", "config-")


@dataclass(frozen=True)
class Corpus:
    """Files of one split that this interpreter has.

    Attributes
    ----------
    files : tuple of (str, bytes)
        Path relative to the standard library, and content.
    changed : tuple of str
        Files whose content differs from the manifest's SHA-256 (another interpreter version).
    missing : tuple of str
        Files of the manifest that this interpreter does not have.
    """

    files: tuple
    changed: tuple
    missing: tuple

    @property
    def size_bytes(self):
        return sum(len(text) for _, text in self.files)

    def joined(self):
        """All files, each preceded by `SEPARATOR`, as one byte string."""
        return b"".join(SEPARATOR + text for _, text in self.files)


def library_folder():
    """Folder of the running interpreter's standard library."""
    return Path(sysconfig.get_paths()["stdlib"])


def library_files(folder=None):
    """Names of the corpus files, relative to the library with forward slashes, sorted."""
    folder = Path(folder or library_folder())
    names = []
    for root, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in _SKIPPED_FOLDERS and not f.startswith(_GENERATED_PREFIX)]
        names += [
            (Path(root) / f).relative_to(folder).as_posix()
            for f in files if f.endswith(".py") and not f.startswith(_GENERATED_PREFIX)
        ]
    return sorted(names)


def make_manifest(folder=None):
    """Describe the running interpreter's corpus: a dict that `json.dump` takes."""
    folder = Path(folder or library_folder())
    entries = []
    for index, name in enumerate(library_files(folder)):
        text = (folder / name).read_bytes()
        entries.append({
            "name":   name,
            "bytes":  len(text),
            "sha256": hashlib.sha256(text).hexdigest(),
            "split":  "held-out" if index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 else "train",
        })
    return {
        "source":           "Python standard library, .py files without test suites and generated files",
        "python":           "%d.%d.%d" % sys.version_info[:3],
        "held_out_every":   HELD_OUT_EVERY,
        "train_bytes":      sum(e["bytes"] for e in entries if e["split"] == "train"),
        "held_out_bytes":   sum(e["bytes"] for e in entries if e["split"] == "held-out"),
        "files":            entries,
    }


def write_manifest(path, manifest):
    """Write one file entry a line, so that a difference between two manifests can be read."""
    head = {key: value for key, value in manifest.items() if key != "files"}
    lines = ",\n".join("  " + json.dumps(entry) for entry in manifest["files"])
    text = json.dumps(head, indent=1)[:-2] + ',\n "files": [\n' + lines + "\n ]\n}\n"
    Path(path).write_text(text, encoding="utf-8")


def read_manifest(path=MANIFEST):
    """The manifest beside the packaged weights, or another one.

    Raises
    ------
    ModelError
        The file is missing, is no JSON, or lacks what a manifest has.
    """
    try:
        manifest = json.loads(Path(path).read_text(encoding="utf-8"))
        for entry in manifest["files"]:
            if not {"name", "sha256", "split"} <= entry.keys():
                raise KeyError("name, sha256 or split")
            if Path(entry["name"]).is_absolute() or ".." in Path(entry["name"]).parts:
                raise ModelError(f"{path} names {entry['name']!r}, which is outside the library")
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} is no manifest of a corpus: {error}") from error
    return manifest


def load(split, manifest=None, folder=None):
    """Read one split of the corpus from the running interpreter.

    Parameters
    ----------
    split : "train" or "held-out"
    manifest : dict, optional
        Default: the packaged one.
    folder : path, optional
        Default: the running interpreter's standard library.

    Returns
    -------
    Corpus

    Raises
    ------
    ModelError
        The split has another name, the manifest is damaged, or this interpreter has none of the split's files.
    """
    if split not in ("train", "held-out"):
        raise ModelError(f"the corpus has the splits 'train' and 'held-out', not {split!r}")
    folder = Path(folder or library_folder())
    manifest = manifest or read_manifest()
    files, changed, missing = [], [], []
    for entry in manifest["files"]:
        if entry["split"] != split:
            continue
        try:
            text = (folder / entry["name"]).read_bytes()
        except FileNotFoundError:
            missing.append(entry["name"])
            continue
        if hashlib.sha256(text).hexdigest() != entry["sha256"]:
            changed.append(entry["name"])
        files.append((entry["name"], text))
    if not files:
        raise ModelError(f"{folder} has none of the {len(missing)} {split} files of the manifest: "
                         "the standard library's sources are not installed there")
    return Corpus(tuple(files), tuple(changed), tuple(missing))
