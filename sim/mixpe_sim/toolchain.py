# SPDX-License-Identifier: BSD-2-Clause
"""The programs that build a simulation: what is needed, which versions are there, how they are run."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time

from mixpe.errors import ToolError

APT = "apt-get install verilator g++ make libevent-dev libjson-c-dev zlib1g-dev"
APT_CPU = "apt-get install gcc-riscv64-unknown-elf"
PIP = "pip install 'mixpe[gateware]'"
PACKAGES = ("migen", "litex", "litedram", "pythondata-misc-tapcfg")
PACKAGES_ETHERNET = ("liteeth",)
PACKAGES_CPU = ("pythondata-cpu-vexriscv", "pythondata-software-picolibc", "pythondata-software-compiler-rt", "meson")
HEADERS = ("event2/event.h", "json-c/json.h", "zlib.h")
PROBE_LIMIT_S = 60


def compiler(language):
    """Return the command of the C or C++ compiler, CC and CXX respected."""
    return os.environ.get({"c": "CC", "c++": "CXX"}[language]) or {"c": "cc", "c++": "g++"}[language]


def _first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{command[0]} does not run ({error}); install it: {APT}") from error
    return done.stdout.splitlines()[0].strip() if done.stdout else ""


def check_tools(with_cpu=False, with_ethernet=False):
    """Check that everything needed is installed and return the versions, which are part of a build's identity.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ToolError
        Something is missing; the message says how to install it.
    """
    versions = {}
    for package in PACKAGES + (PACKAGES_CPU if with_cpu else ()) + (PACKAGES_ETHERNET if with_ethernet else ()):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise ToolError(f"the simulation needs the Python package {package}; install it: {PIP}") from error
    for tool in ("verilator", "make", compiler("c").split()[0], compiler("c++").split()[0]):
        if shutil.which(tool) is None:
            raise ToolError(f"the simulation needs {tool}, which is not on PATH; install it: {APT}")
    versions["verilator"] = _first_line(["verilator", "--version"])
    versions["c++"] = _first_line([*compiler("c++").split(), "--version"])
    source = "".join(f"#include <{header}>\n" for header in HEADERS)
    probe = subprocess.run([*compiler("c").split(), "-E", "-x", "c", "-", "-o", os.devnull], input=source, text=True,
                           capture_output=True, timeout=PROBE_LIMIT_S)
    if probe.returncode:
        missing = re.findall(r"fatal error: (\S+):", probe.stderr)
        raise ToolError(f"the simulation needs the header {', '.join(missing) or probe.stderr.strip()}; "
                        f"install it: {APT}")
    if with_cpu and not any(shutil.which(f"{triple}-gcc") for triple in
                            ("riscv64-unknown-elf", "riscv32-unknown-elf", "riscv-none-elf", "riscv64-linux-gnu")):
        raise ToolError(f"the BIOS needs a RISC-V compiler; install it: {APT_CPU}")
    return versions


def litex_core_folder():
    """Return the folder of LiteX's simulation core, without importing LiteX."""
    return os.path.join(importlib.util.find_spec("litex").submodule_search_locations[0], "build", "sim", "core")


def _environment():
    """Ours, and the programs that pip has put beside the interpreter: the BIOS is built with meson and ninja."""
    return {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def run_logged(command, *, folder, log, limit_s, report, what):
    """Run a program with its output in a file, call `report` now and then, stop it at the limit.

    Parameters
    ----------
    command : list of str
    folder : path
        Working directory.
    log : path
        Its output is appended here.
    limit_s : float
    report : callable
        Called without arguments twice a second.
    what : str
        Stage, for messages.

    Raises
    ------
    ToolError
        The program is missing, failed (the end of its output is in the message) or took too long.
    """
    start = time.monotonic()
    with open(log, "a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(map(str, command))}\n")
        output.flush()
        try:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True, env=_environment())
        except OSError as error:
            raise ToolError(f"{what}: cannot run {command[0]}: {error}; install it: {APT}") from error
        try:
            while True:
                try:
                    code = process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    report()
                if time.monotonic() - start > limit_s:
                    raise ToolError(f"{what}: {command[0]} was stopped after {limit_s:g} s; its output is in {log}")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
    if code:
        with open(log, encoding="utf-8", errors="replace") as output:
            tail = [line for line in output.read().splitlines() if line.strip()][-12:]
        raise ToolError(f"{what}: {command[0]} failed with {code}; all output is in {log}, which ends with\n"
                        + "\n".join(tail))
