# SPDX-License-Identifier: BSD-2-Clause
"""Build an engine's bench once per configuration and source, as a shared library."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from mixpe.tools import run_tool
from mixpe.tools.cachefolder import cache_folder
from mixpe_sim.enginebench import top
from mixpe_sim.sources import source_digest

LIMIT_S = 600


def build_bench(opcode, config, mem_bytes):
    """Path of the shared library of an engine; built when it is not in the cache.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or failed.
    """
    root = cache_folder("harness")
    root.mkdir(parents=True, exist_ok=True)
    driver  = Path(__file__).with_name("bench.cpp")
    version = run_tool("verilator", ["--version"], root, LIMIT_S)
    sources = source_digest("mixpe_sim.enginebench.top", files=[driver])
    content = json.dumps([int(opcode), config.to_dict(), mem_bytes, version, sources], sort_keys=True)
    library = root / f"{opcode.name.lower()}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=root) as folder:
        work = Path(folder)
        top.write_verilog(work / "bench.v", opcode, config, mem_bytes)
        (work / "ports.h").write_text(f"#define BEAT_BYTES {config.memory_bits//8}\n")
        shutil.copy(driver, work)
        run_tool("verilator", ["--cc", "bench.v", "--top-module", "bench", "-O3", "--x-assign", "fast", "--noassert",
            "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "obj", "--build", "-j", "2", "-CFLAGS", "-fPIC -O1"],
            work, LIMIT_S)
        home    = run_tool("verilator", ["--getenv", "VERILATOR_ROOT"], work, LIMIT_S).strip()
        include = f"{home}/include"
        run_tool("g++", ["-shared", "-fPIC", "-O2", "-std=c++17", "-I.", "-Iobj", f"-I{include}",
            f"-I{include}/vltstd", "bench.cpp", f"{include}/verilated.cpp", f"{include}/verilated_threads.cpp",
            "obj/Vbench__ALL.a", "-lpthread", "-latomic", "-o", "bench.so"], work, LIMIT_S)
        os.replace(work / "bench.so", library)
    return library
