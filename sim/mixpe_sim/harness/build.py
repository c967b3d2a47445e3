# SPDX-License-Identifier: BSD-2-Clause
"""Build the harness once per configuration and source, as a shared library."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from mixpe.tools import run_tool
from mixpe.tools.cachefolder import cache_folder
from mixpe_sim.harness import top
from mixpe_sim.sources import source_digest

BUILD_LIMIT_S = 600
FLAGS   = ("-fPIC", "-O2", "-std=c++17")
RUNTIME = ("verilated", "verilated_threads")


def build_harness(config, mem_bytes, **options):
    """Path of the shared library for a configuration; built when it is not in the cache.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    options
        Of the accelerator: `chunk_beats`, `target`, `watchdog_cycles`.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or failed.
    """
    return build_library(config.name, [config.to_dict(), mem_bytes, options], ["mixpe_sim.harness.top"],
        lambda path: top.write_verilog(path, config, mem_bytes, **options), top.accelerator_header(config))


def build_library(name, content, modules, write_verilog, header):
    """Path of a shared library of `harness.cpp` and a module ``accelerator``; built when it is not in the cache.

    Parameters
    ----------
    name : str
        Of the file.
    content : list
        What the module depends on beside sources, as JSON has it.
    modules : list of str
        The sources are these and what they import.
    write_verilog : callable
        path → None
    header : str
        Text of ``ports.h``.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or failed.
    """
    root = cache_folder("harness")
    root.mkdir(parents=True, exist_ok=True)
    version = run_tool("verilator", ["--version"], root, BUILD_LIMIT_S)
    harness = Path(__file__).with_name("harness.cpp")
    sources = source_digest(*modules, files=[harness])
    digest  = hashlib.sha256(json.dumps([*content, version, sources], sort_keys=True).encode()).hexdigest()
    library = root / f"{name}-{digest[:16]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=root) as folder:
        work = Path(folder)
        write_verilog(work / "accelerator.v")
        (work / "ports.h").write_text(header)
        shutil.copy(harness, work)
        run_tool("verilator", ["--cc", "accelerator.v", "--top-module", "accelerator", "-O3", "--x-assign", "fast",
            "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "obj", "--build", "-j", "2",
            "-CFLAGS", "-fPIC -O1"], work, BUILD_LIMIT_S)
        home    = run_tool("verilator", ["--getenv", "VERILATOR_ROOT"], work, BUILD_LIMIT_S).strip()
        include = f"{home}/include"
        run_tool("g++", ["-shared", *FLAGS, "-I.", "-Iobj", f"-I{include}", f"-I{include}/vltstd", "harness.cpp",
            *_runtime(root, include, version), "obj/Vaccelerator__ALL.a", "-lpthread", "-latomic", "-o",
            "harness.so"], work, BUILD_LIMIT_S)
        os.replace(work / "harness.so", library)
    return library


def _runtime(root, include, version):
    """Verilator's own sources as objects, which all libraries have: compiling them takes longer than most designs."""
    digest = hashlib.sha256(json.dumps([include, version, FLAGS]).encode()).hexdigest()
    found  = [root / f"{name}-{digest[:16]}.o" for name in RUNTIME]
    for name, path in zip(RUNTIME, found, strict=True):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=root) as folder:
                run_tool("g++", ["-c", *FLAGS, f"-I{include}", f"-I{include}/vltstd", f"{include}/{name}.cpp", "-o",
                    "runtime.o"], Path(folder), BUILD_LIMIT_S)
                os.replace(Path(folder) / "runtime.o", path)
    return found
