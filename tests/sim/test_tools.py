# SPDX-License-Identifier: BSD-2-Clause
"""What is said when a tool is missing or fails."""

import os
import re
import stat
import sys

import pytest

from mixpe.errors import ToolError
from mixpe_sim import SimOptions, build_sim
from mixpe_sim.toolchain import check_tools


def _only(tmp_path, monkeypatch, *tools):
    """A PATH with nothing but some tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in tools:
        for place in os.environ["PATH"].split(":"):
            if os.path.exists(f"{place}/{tool}"):
                (folder / tool).symlink_to(f"{place}/{tool}")
                break
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))  # programs beside it are found too
    return folder


@pytest.mark.parametrize("missing", ["verilator", "make", "cc", "g++"])
def test_missing_tool_is_named_with_the_way_out(tmp_path, monkeypatch, missing):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    _only(tmp_path, monkeypatch, *({"verilator", "make", "cc", "g++"} - {missing}))
    with pytest.raises(ToolError, match=f"^{re.escape(missing)} is not on PATH; .*apt-get install"):
        check_tools()


def test_missing_header_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "fake"
    folder.mkdir()
    fake = folder / "nolibs-cc"
    fake.write_text('#!/bin/sh\necho "<stdin>:1:10: fatal error: event2/event.h: No such file" >&2\nexit 1\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CC", "nolibs-cc")
    with pytest.raises(ToolError, match="needs the header event2/event.h; install it: apt-get install .*libevent-dev"):
        check_tools()


def test_failing_tool_shows_its_words(tmp_path, monkeypatch):
    folder = tmp_path / "fake"
    folder.mkdir()
    fake = folder / "verilator"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Verilator 0.1 && exit 0\necho "%Error: no luck today"\n'
                    "exit 3\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("MIXPE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ToolError, match="verilate: verilator ended with 3: %Error: no luck today; all of its .*log"):
        build_sim(SimOptions.create(memory="sdr", accelerator=False))
    kept = [path.suffix for path in (tmp_path / "cache" / "sim").iterdir()]
    assert sorted(kept) == [".lock", ".log"]  # nothing half built


def test_cache_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("MIXPE_CACHE", str(blocked / "cache"))
    with pytest.raises(ToolError, match="cannot make the cache folder .*set MIXPE_CACHE"):
        build_sim(SimOptions.create(memory="sdr", accelerator=False))


def test_a_cache_folder_with_a_space_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXPE_CACHE", str(tmp_path / "the cache"))
    with pytest.raises(ToolError, match="'.*the cache/sim' has a space in its path, .*set MIXPE_CACHE to another one"):
        build_sim(SimOptions.create(memory="sdr", accelerator=False))
    assert not (tmp_path / "the cache").exists()
