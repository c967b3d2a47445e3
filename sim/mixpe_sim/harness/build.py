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
    root = cache_folder("harness")
    root.mkdir(parents=True, exist_ok=True)
    version = run_tool("verilator", ["--version"], root, BUILD_LIMIT_S)
    harness = Path(__file__).with_name("harness.cpp")
    sources = source_digest("mixpe_sim.harness.top", files=[harness])
    content = json.dumps([config.to_dict(), mem_bytes, options, version, sources], sort_keys=True)
    digest  = hashlib.sha256(content.encode()).hexdigest()
    library = root / f"{config.name}-{digest[:16]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=root) as folder:
        work = Path(folder)
        top.write_verilog(work / "accelerator.v", config, mem_bytes, **options)
        (work / "ports.h").write_text(top.port_header(config))
        shutil.copy(harness, work)
        run_tool("verilator", ["--cc", "accelerator.v", "--top-module", "accelerator", "-O3", "--x-assign", "fast",
            "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "obj", "--build", "-j", "2",
            "-CFLAGS", "-fPIC -O1"], work, BUILD_LIMIT_S)
        home    = run_tool("verilator", ["--getenv", "VERILATOR_ROOT"], work, BUILD_LIMIT_S).strip()
        include = f"{home}/include"
        run_tool("g++", ["-shared", "-fPIC", "-O2", "-std=c++17", "-I.", "-Iobj", f"-I{include}",
            f"-I{include}/vltstd", "harness.cpp", f"{include}/verilated.cpp", f"{include}/verilated_threads.cpp",
            "obj/Vaccelerator__ALL.a", "-lpthread", "-latomic", "-o", "harness.so"], work, BUILD_LIMIT_S)
        os.replace(work / "harness.so", library)
    return library
