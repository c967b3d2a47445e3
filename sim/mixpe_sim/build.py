# SPDX-License-Identifier: BSD-2-Clause
"""Build the simulated SoC once and keep it.

The cache has two levels: a key of options, source files and tool versions leads at once to a build; when there is none,
the SoC is elaborated (seconds), and a key of the resulting design leads to a build that other sources have made.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from mixpe.errors import ToolError
from mixpe.exports import FILES
from mixpe.tools import compiler, run_tool
from mixpe.tools.cachefolder import cache_folder
from mixpe_sim.native import module_sources, own_files
from mixpe_sim.savefile import FOLDER as SAVEFILE_FOLDER
from mixpe_sim.sources import source_digest
from mixpe_sim.toolchain import check_tools, litex_core_folder

LIMIT_S = 1800.0  # of one build
KEPT_BUILDS = 16
CORE_SOURCES = ("sim", "modules", "pads", "parse", "libdylib")  # of LiteX's simulation core
MODEL_FLAGS = (  # those of LiteX's makefile that matter to the model
    "-O3", "-DPRINTF_COND=0", "--x-initial", "fast", "--unroll-count", "256", "--output-split", "5000",
    "--output-split-cfuncs", "500", "-Wno-fatal", "-Wno-BLKANDNBLK", "-Wno-WIDTH", "-Wno-COMBDLY",
    "-Wno-CASEINCOMPLETE", "--relative-includes",
)


@dataclass(frozen=True)
class Build:
    """A built simulation.

    Attributes
    ----------
    folder : Path
        Holds ``Vsim``, ``modules/``, ``sim_config.js``, ``csr.csv``, ``csr.json``, ``soc.svd``, ``savefile/``.
    key : str
        Digest of everything that it depends on.
    is_hit : bool
        It came from the cache.
    seconds : float
        How long building took.
    """

    folder: Path
    key: str
    is_hit: bool
    seconds: float


def build_key(options, versions):
    """Return the digest of options, source files and tool versions."""
    sources = source_digest("mixpe_sim.elaborate", "mixpe_sim.build", files=own_files(options))
    content = json.dumps([options.build_dict(), versions, sources], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:24]


class _Stages:
    """The stage that runs, with its time, on stderr; nothing when that is no terminal or the user wants quiet."""

    def __init__(self, show):
        self.show = sys.stderr.isatty() if show is None else show
        self.redraw = self.show and sys.stderr.isatty()
        self.start = self.stage_start = time.monotonic()
        self.stage = ""

    def begin(self, stage):
        self.end()
        self.stage, self.stage_start = stage, time.monotonic()
        self.report()

    def report(self):
        if self.redraw and self.stage:
            print(f"\r\033[Ksimulation: {self.stage} … {time.monotonic() - self.stage_start:.0f} s", end="",
                  file=sys.stderr, flush=True)

    def end(self):
        if self.show and self.stage:
            print(f"{chr(13) + chr(27) + '[K' if self.redraw else ''}simulation: {self.stage} "
                  f"{time.monotonic() - self.stage_start:.1f} s", file=sys.stderr, flush=True)
        self.stage = ""


class _Lock:
    """A file lock against two builds of the same thing at once."""

    def __init__(self, path, limit_s, report):
        self.path, self.limit_s, self.report = path, limit_s, report

    def __enter__(self):
        self.file = open(self.path, "w", encoding="utf-8")
        end = time.monotonic() + self.limit_s
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return self
            except BlockingIOError:
                if time.monotonic() > end:
                    self.file.close()
                    raise ToolError(f"another build has held {self.path} for {self.limit_s:g} s") from None
                self.report()
                time.sleep(0.2)

    def __exit__(self, *exc_info):
        self.file.close()


def _verilate_options(options, work, sources):
    core = litex_core_folder()
    command = ["--cc", "--exe", "--top-module", "sim", "--Mdir", "obj_dir", *MODEL_FLAGS]
    if options.threads > 1:
        command += ["--threads", str(options.threads)]
    if options.trace_fst:
        command += ["--trace-fst", "--output-split-ctrace", "500"]
    elif options.trace:
        command += ["--trace", "--output-split-ctrace", "500"]
    if options.coverage:
        command += ["--coverage"]
    command += ["-CFLAGS", f"-I{core} -I{work}", "-LDFLAGS", "-Wl,--no-as-needed -ljson-c -lz -ldl -levent -lpthread"]
    command += [f"-I{path}" for path in sources["include"]]
    command += sources["files"]
    command += [str(work / "sim_init.cpp"), str(Path(__file__).parent / "runtime" / "veril.cpp")]
    return command + [str(work / "obj_dir" / f"{name}.o") for name in CORE_SOURCES]


def _compile_core(options, work, run):
    core = Path(litex_core_folder())
    cc, *words = compiler("c")
    (work / "obj_dir").mkdir()
    (work / "modules").mkdir()
    flags = ["-O2", "-DVM_COVERAGE"] if options.coverage else ["-O2"]
    commands = [[*words, *flags, "-I.", "-c", str(core / f"{name}.c"), "-o", f"obj_dir/{name}.o"]
                for name in CORE_SOURCES]
    commands += [[*words, "-O2", "-fPIC", "-shared", f"-I{core}", str(source), "-o", f"modules/{name}.so", "-levent",
                  "-ljson-c"] for name, source in module_sources(options).items()]
    for command in commands:
        run(cc, command, "compile", work)


def design_key(options, versions, work):
    """Return the digest of an elaborated design and of what it is compiled with.

    Most edits of a source file change nothing in a given SoC: the program that was built before them then still serves.
    """
    digest = hashlib.sha256(json.dumps([options.build_dict(), versions, MODEL_FLAGS]).encode())
    for path in sorted([*(work / "gateware").iterdir(), work / "csr.csv", *own_files(options), Path(__file__)]):
        if path.name in ("variables.mak", "build_sim.sh"):
            continue  # LiteX's own build, with paths of this folder
        # Comments of the generated files hold the date.
        lines = [line for line in path.read_bytes().splitlines() if not line.lstrip().startswith((b"//", b"#"))]
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(b"\n".join(lines)).digest())
    return f"d{digest.hexdigest()[:24]}"


def _keep_exports(work, place):
    """What other tools are given: no part of the program, so the newest is kept."""
    for path in FILES.values():
        shutil.copy2(work / path, place)
    shutil.copytree(work / SAVEFILE_FOLDER, place / SAVEFILE_FOLDER, dirs_exist_ok=True)


def _build_into(options, versions, folder, work, log, stages, limit_s):
    """Elaborate, verilate and compile into a folder; return the design's key, and whether it is there already."""
    end = time.monotonic() + limit_s

    def run(name, arguments, what, cwd):
        run_tool(name, arguments, cwd, max(1.0, end - time.monotonic()), what=what, log=log, report=stages.report)

    stages.begin("elaborate")
    settings = folder / "options.json"
    settings.write_text(json.dumps(options.build_dict(), indent=1), encoding="utf-8")
    run(sys.executable, ["-m", "mixpe_sim.elaborate", settings, work], "elaborate", folder)
    key = design_key(options, versions, work)
    if (folder.parent / key / "Vsim").exists():
        _keep_exports(work, folder.parent / key)
        stages.end()
        return key, True
    stages.begin("verilate")
    gateware = work / "gateware"
    _compile_core(options, gateware, run)
    sources = json.loads((work / "sources.json").read_text(encoding="utf-8"))
    run("verilator", _verilate_options(options, gateware, sources), "verilate", gateware)
    stages.begin("compile")
    jobs = options.jobs or os.cpu_count() or 1
    # Code that runs once (constructors, resets, traces' set-up) is most of the text: it is not worth optimising.
    run("make", [f"-j{jobs}", "-C", "obj_dir", "-f", "Vsim.mk", "Vsim", f"OPT_FAST=-{options.opt_level}",
                 "OPT_SLOW=-O0", "OPT_GLOBAL=-O2"], "compile", gateware)
    stages.end()
    # What a run needs; the rest is hundreds of megabytes.
    shutil.copy2(gateware / "obj_dir" / "Vsim", folder)
    shutil.copytree(gateware / "modules", folder / "modules")
    for path in [gateware / "sim_config.js", *gateware.glob("*.init")]:
        shutil.copy2(path, folder)
    _keep_exports(work, folder)
    return key, False


def _prune(root, keep):
    designs = sorted((path for path in root.iterdir() if not path.is_symlink() and (path / "Vsim").exists()),
                     key=lambda path: path.stat().st_mtime, reverse=True)
    for old in designs[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    for alias in root.iterdir():
        if alias.is_symlink() and not alias.exists():
            for path in (alias, alias.with_suffix(".log")):
                path.unlink(missing_ok=True)


def _keep(folder, place, is_there):
    """Move a finished build to its place, unless one is there already."""
    if not is_there:
        try:
            folder.rename(place)
        except OSError:
            is_there = True  # another process has built the same design from other sources meanwhile
    if is_there:
        shutil.rmtree(folder, ignore_errors=True)
        os.utime(place)


def _alias(alias, design):
    """Let a key of sources point to a design, in one step."""
    fresh = alias.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(design)
    fresh.replace(alias)


def build_sim(options, *, show=None, limit_s=LIMIT_S):
    """Build a simulation, or find it in the cache.

    Parameters
    ----------
    options : SimOptions
    show : bool or None
        Report stages on stderr; None does so when it is a terminal.
    limit_s : float
        Longest build, and longest wait for another process that builds the same.

    Returns
    -------
    Build

    Raises
    ------
    ToolError
        A tool is missing or failed.
    """
    start = time.monotonic()
    versions = check_tools(with_cpu=options.cpu_type is not None, with_ethernet=options.link == "etherbone")
    key = build_key(options, versions)
    root = cache_folder("sim")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"cannot make the cache folder {root}: {error}; set MIXPE_CACHE to a folder that can be "
                        "written") from error
    final = root / key  # a link to the design's folder
    stages = _Stages(show)

    def hit():
        if not (final / "Vsim").exists():
            return None
        os.utime(final)
        return Build(final.resolve(), key, True, time.monotonic() - start)

    found = hit()
    if found:
        return found
    with _Lock(final.with_suffix(".lock"), limit_s, stages.report):
        found = hit()  # another process may have built it while we waited
        if found:
            return found
        log = final.with_suffix(".log")
        log.unlink(missing_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=root))
        try:
            work = folder / "work"
            work.mkdir()
            design, is_there = _build_into(options, versions, folder, work, log, stages, limit_s)
            shutil.rmtree(work)
            (folder / "versions.json").write_text(json.dumps(versions, indent=1), encoding="utf-8")
            folder.chmod(0o755)
            _keep(folder, root / design, is_there)
            _alias(final, design)
        except BaseException:
            stages.end()
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _prune(root, KEPT_BUILDS)
    return Build(final.resolve(), key, False, time.monotonic() - start)
