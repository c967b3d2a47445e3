# SPDX-License-Identifier: BSD-2-Clause
"""Build the harness once per configuration and source, as a shared library."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from mixpe_gateware.contract.errors import ToolError
from mixpe_sim.build import cache_folder
from mixpe_sim.harness import top
from mixpe_sim.sources import source_digest

BUILD_LIMIT_S = 600


def _run(command, directory):
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=BUILD_LIMIT_S)
    except FileNotFoundError:
        raise ToolError(f"{command[0]} is not installed; on Debian: apt install verilator g++ make") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} did not end within {BUILD_LIMIT_S} s") from None
    if done.returncode:
        raise ToolError(f"{' '.join(command[:2])} failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


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
    root = cache_folder().with_name("harness")
    root.mkdir(parents=True, exist_ok=True)
    version = _run(["verilator", "--version"], root)
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
        _run(["verilator", "--cc", "accelerator.v", "--top-module", "accelerator", "-O3", "--x-assign", "fast",
            "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "obj", "--build", "-j", "2",
            "-CFLAGS", "-fPIC -O1"], work)
        include = _run(["verilator", "--getenv", "VERILATOR_ROOT"], work).strip() + "/include"
        _run(["g++", "-shared", "-fPIC", "-O2", "-std=c++17", "-I.", "-Iobj", f"-I{include}",
            f"-I{include}/vltstd", "harness.cpp", f"{include}/verilated.cpp", f"{include}/verilated_threads.cpp",
            "obj/Vaccelerator__ALL.a", "-lpthread", "-latomic", "-o", "harness.so"], work)
        os.replace(work / "harness.so", library)
    return library
