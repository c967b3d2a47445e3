# SPDX-License-Identifier: BSD-2-Clause
"""The corpus: which files it has, how it is split, and what another interpreter makes of the manifest."""

import hashlib
import json

import pytest

from mixpe.errors import ModelError
from mixpe.models import corpus


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "lib"
    for i in range(25):
        (folder / "pkg").mkdir(parents=True, exist_ok=True)
        (folder / "pkg" / f"m{i:02}.py").write_bytes(b"x = %d\r\n" % i)
    for name in ("test/a.py", "pkg/tests/a.py", "idlelib/idle_test/a.py", "site-packages/a.py", "pkg/__pycache__/a.py",
                 "config-3.11-x/python-config.py", "_sysconfigdata_x.py", "data.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("no")
    return folder


def test_library_files_leave_out_tests_and_generated_files(library):
    assert corpus.library_files(library) == [f"pkg/m{i:02}.py" for i in range(25)]


def test_every_tenth_file_is_held_out(library):
    manifest = corpus.make_manifest(library)
    held_out = [e["name"] for e in manifest["files"] if e["split"] == "held-out"]
    assert held_out == ["pkg/m09.py", "pkg/m19.py"]
    assert manifest["train_bytes"] + manifest["held_out_bytes"] == sum(e["bytes"] for e in manifest["files"])
    assert manifest["files"][3]["sha256"] == hashlib.sha256(b"x = 3\r\n").hexdigest()


def test_manifest_is_read_back(library, tmp_path):
    manifest = corpus.make_manifest(library)
    corpus.write_manifest(tmp_path / "manifest.json", manifest)
    assert corpus.read_manifest(tmp_path / "manifest.json") == manifest


def test_splits_are_disjoint_and_bytes_are_kept(library):
    manifest = corpus.make_manifest(library)
    train, held_out = (corpus.load(split, manifest, library) for split in ("train", "held-out"))
    assert len(train.files) == 23 and len(held_out.files) == 2
    assert held_out.joined() == b"\0x = 9\r\n\0x = 19\r\n"
    assert held_out.size_bytes == 15
    assert not {name for name, _ in train.files} & {name for name, _ in held_out.files}


def test_another_interpreters_files_are_counted(library):
    manifest = corpus.make_manifest(library)
    (library / "pkg" / "m09.py").write_text("changed")
    (library / "pkg" / "m19.py").unlink()
    found = corpus.load("held-out", manifest, library)
    assert found.changed == ("pkg/m09.py",) and found.missing == ("pkg/m19.py",)
    assert found.joined() == b"\0changed"
    (library / "pkg" / "m09.py").unlink()
    with pytest.raises(ModelError, match="none of the 2 held-out files"):
        corpus.load("held-out", manifest, library)


def test_unknown_split_is_refused():
    with pytest.raises(ModelError, match="'train' and 'held-out', not 'dev'"):
        corpus.load("dev", {"files": []})


@pytest.mark.parametrize("content, message", [
    ("{", "is no manifest"),
    ("[]", "is no manifest"),
    ('{"files": [{"name": "a.py"}]}', "is no manifest"),
    (json.dumps({"files": [{"name": "../a.py", "sha256": "", "split": "train"}]}), "outside the library"),
    (json.dumps({"files": [{"name": "/a.py", "sha256": "", "split": "train"}]}), "outside the library"),
])
def test_damaged_manifests_are_refused(tmp_path, content, message):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        corpus.read_manifest(tmp_path / "m.json")
    with pytest.raises(ModelError, match="cannot be read"):
        corpus.read_manifest(tmp_path / "none.json")
