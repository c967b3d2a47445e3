# SPDX-License-Identifier: BSD-2-Clause
"""Build the harness once per configuration and source, as a shared library."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from mixpe.gateware.spec.errors import ToolError
from mixpe.sim.harness.top import port_header, write_verilog

BUILD_LIMIT_S = 600


def cache_directory():
    """Where builds are kept: $MIXPE_CACHE, or mixpe in the user's cache directory."""
    base = os.environ.get("MIXPE_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixpe"


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
        `chunk_beats` and `target` of the accelerator.

    Raises
    ------
    ToolError
        Verilator or the compiler is missing or failed.
    """
    root = cache_directory() / "harness"
    root.mkdir(parents=True, exist_ok=True)
    work = root / f"work-{os.getpid()}"
    work.mkdir()
    try:
        write_verilog(work / "accelerator.v", config, mem_bytes, **options)
        (work / "ports.h").write_text(port_header(config))
        shutil.copy(Path(__file__).with_name("harness.cpp"), work)
        version = _run(["verilator", "--version"], work)
        content = hashlib.sha256(version.encode())
        for name in ("accelerator.v", "ports.h", "harness.cpp"):
            # The generated Verilog has its date in comments.
            lines = (work / name).read_text().splitlines()
            content.update("\n".join(line for line in lines if not line.lstrip().startswith("//")).encode())
        for init in sorted(work.glob("*.init")):
            content.update(init.read_bytes())
        library = root / f"{config.name}-{content.hexdigest()[:16]}.so"
        if library.exists():
            return library
        _run(["verilator", "--cc", "accelerator.v", "--top-module", "accelerator", "-O3", "--x-assign", "fast",
            "--noassert", "-Wno-fatal", "-Wno-lint", "-Wno-style", "--Mdir", "obj", "--build", "-j", "2",
            "-CFLAGS", "-fPIC -O1"], work)
        root_path = _run(["verilator", "--getenv", "VERILATOR_ROOT"], work).strip()
        built = work / "harness.so"
        _run(["g++", "-shared", "-fPIC", "-O2", "-std=c++17", "-I.", "-Iobj", f"-I{root_path}/include",
            f"-I{root_path}/include/vltstd", "harness.cpp", f"{root_path}/include/verilated.cpp",
            f"{root_path}/include/verilated_threads.cpp", "obj/Vaccelerator__ALL.a", "-lpthread", "-latomic",
            "-o", str(built)], work)
        os.replace(built, library)
        return library
    finally:
        shutil.rmtree(work, ignore_errors=True)
