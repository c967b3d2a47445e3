# SPDX-License-Identifier: BSD-2-Clause
"""Who imports whom, read from the sources; what `import mixpe` loads, in a fresh interpreter; small rules of style."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT    = Path(__file__).parents[1]
SOURCE_ROOTS = {"gateware": "mixpe_gateware", "host": "mixpe", "sim": "mixpe_sim", "boards": "mixpe_boards"}
SOURCES = sorted(path for folder in SOURCE_ROOTS for path in (ROOT/folder).rglob("*.py"))
TESTS   = sorted((ROOT/"tests").rglob("*.py"))
HEAVY   = ("migen", "litex", "litedram", "liteeth", "litescope", "litex_boards", "torch", "matplotlib", "transformers",
    "safetensors", "tokenizers", "sentencepiece", "jinja2")

# Parts of the packages, the most particular first, and what each may import of ours when it is loaded.
PARTS = {
    "mixpe_gateware.contract":  "contract",
    "mixpe_gateware.baselines": "baselines",
    "mixpe_gateware":           "gateware",
    "mixpe_sim":                "sim",
    "mixpe_boards":             "boards",
    "mixpe.errors":             "errors",
    "mixpe.quant":              "quant",
    "mixpe.formats":            "formats",
    "mixpe.text":               "text",
    "mixpe.tools":              "tools",
    "mixpe.plan":               "plan",
    "mixpe.reference":          "reference",
    "mixpe.explore":            "explore",
    "mixpe.link":               "link",
    "mixpe.program":            "program",
    "mixpe.devices":            "devices",
    "mixpe.models":             "models",
    "mixpe.lm":                 "lm",
    "mixpe.serve":              "serve",
    "mixpe.torch":              "torch",
    "mixpe.bench":              "bench",
    "mixpe.selftest":           "selftest",
    "mixpe.terminal":           "screen",
    "mixpe.progress":           "screen",
    "mixpe.exports":            "exports",
    "mixpe.cli":                "cli",
    "mixpe.__main__":           "cli",
    "mixpe":                    "host",
}
PURE    = {"contract", "errors"}
DEVICE  = {*PURE, "quant", "plan", "program", "reference", "link", "screen", "devices"}
HOST    = {*DEVICE, "formats", "text", "tools", "models", "lm", "serve", "torch", "bench", "selftest", "exports",
    "host"}
ALLOWED = {
    "contract":  {"contract"},
    "errors":    PURE,
    "gateware":  {"gateware", "contract"},
    "baselines": {"baselines", "gateware", "contract"},
    "quant":     {*PURE, "quant"},
    "formats":   {*PURE, "quant", "formats"},
    "text":      {*PURE, "formats", "text", "tools"},
    "tools":     {*PURE, "tools"},
    "plan":      {*PURE, "plan"},
    "link":      {*PURE, "link"},
    "reference": {*PURE, "quant", "plan", "link", "reference"},
    "screen":    {"screen"},
    "exports":   PURE,
    "program":   {*PURE, "formats", "plan", "screen", "program"},  # as plan: without a device
    "devices":   DEVICE,
    "models":    {*PURE, "formats", "models"},
    "lm":        {*DEVICE, "formats", "text", "tools", "lm"},
    "serve":     {*PURE, "plan", "lm", "serve"},
    "torch":     {*DEVICE, "formats", "host", "torch"},
    "selftest":  {*DEVICE, "selftest"},
    "bench":     {*DEVICE, "formats", "tools", "models", "lm", "host", "bench"},
    "host":      {"errors", "quant", "devices", "lm", "host"},
    "explore":   {*HOST, "explore", "gateware", "baselines"},
    "cli":       {*HOST, "explore", "cli"},
    "boards":    {*HOST, "boards", "gateware"},
    "sim":       {*HOST, "sim", "gateware", "boards"},  # netlists are those of boards
}


def part_of(module):
    """Part that a dotted name belongs to; None outside of our packages."""
    for prefix, part in PARTS.items():
        if module == prefix or module.startswith(prefix + "."):
            return part
    return None


def module_of(path):
    _, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(name for name in rest if name != "__init__")


def imports(path, everywhere):
    """Dotted names that a file imports: when it is loaded, or (everywhere) in its functions too."""
    found = set()

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not everywhere:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module_of(path).split(".")
                keep = len(package) - node.level + (path.stem == "__init__")
                base = ".".join(package[:keep] + ([base] if base else []))
            found.update(f"{base}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows(path):
    part = part_of(module_of(path))
    for name in imports(path, everywhere=False):
        target = part_of(name)
        assert target is None or target in ALLOWED[part], f"{part} imports {name}"


def test_no_file_imports_one_that_imports_it():
    """However long the way round; what a package itself gives counts as its `__init__`."""
    files = {module_of(path): path for path in SOURCES}

    def file_of(name):
        while name and name not in files:
            name = name.rpartition(".")[0]
        return name

    graph = {name: sorted({file_of(found) for found in imports(path, everywhere=False)} - {"", name})
        for name, path in files.items()}
    circles, done = [], set()

    def visit(name, way):
        if name in way:
            circles.append(" → ".join([*way[way.index(name):], name]))
        elif name not in done:
            for found in graph[name]:
                visit(found, [*way, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    assert not circles, circles


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_constructor_is_longer_than_a_screen_or_two(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 100, f"{node.name} in line {node.lineno} has {lines} lines: part it into blocks or methods"


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) == "contract"],
    ids=lambda path: path.stem)
def test_the_contract_needs_numpy_only(path):
    """Also inside functions."""
    for name in imports(path, everywhere=True):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top == "numpy" or part_of(name) == "contract", name


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) in ("gateware", "baselines")],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_gateware_takes_nothing_from_the_host(path):
    """Also inside functions."""
    for name in imports(path, everywhere=True):
        assert part_of(name) in (None, "contract", "gateware", part_of(module_of(path))), name


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) in ("sim", "boards")],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_simulation_and_boards_take_nothing_of_the_exploration(path):
    """Also inside functions."""
    assert not [name for name in imports(path, everywhere=True) if part_of(name) in ("explore", "baselines")]


@pytest.mark.parametrize("path", [path for path in SOURCES if not module_of(path).startswith("mixpe.tools")],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_are_found_and_run_by_one_package(path):
    """Also inside functions."""
    assert "subprocess" not in imports(path, everywhere=True), "start it with mixpe.tools"
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    assert not names & {"which", "system", "popen", "spawnv", "posix_spawn"}, "find it with mixpe.tools"


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) == "link"],
    ids=lambda path: path.stem)
def test_the_link_knows_no_register(path):
    """Also inside functions: of the contract it knows errors, frames and the numbers of packets."""
    ours = {".".join(name.split(".")[:3]) for name in imports(path, everywhere=True) if part_of(name) == "contract"}
    known = {f"mixpe_gateware.contract.{name}" for name in ("errors", "frames", "packetnumbers")}
    assert ours <= known


def test_gateware_is_what_can_be_in_a_bitstream():
    """Everything but the compared designs is reached from what a SoC is built of."""
    files = {module_of(path): path for path in SOURCES if part_of(module_of(path)) in ("gateware", "contract")}
    aside   = tuple(f"mixpe_sim.{name}" for name in ("faults", "harness", "netlist", "proofs"))
    socs    = [path for path in SOURCES
        if part_of(module_of(path)) in ("sim", "boards") and not module_of(path).startswith(aside)]
    waiting = {name for path in socs for name in imports(path, everywhere=True)}
    reached = set()
    while waiting:
        name = waiting.pop()
        while name:  # a name inside a module, the module, its package
            if name in files and name not in reached:
                reached.add(name)
                waiting |= imports(files[name], everywhere=True)
            name = name.rpartition(".")[0]
    missing = {name for name in files if part_of(name) == "gateware"} - reached
    assert not missing, f"in gateware/ and in no bitstream: {', '.join(sorted(missing))}"


def test_the_root_of_gateware_is_the_whole_and_the_call_that_adds_it():
    root = ROOT/"gateware"/"mixpe_gateware"
    assert {path.stem for path in root.glob("*.py")} == {"__init__", "accelerator", "integration"}
    assert {path.parent.name for path in root.glob("*/__init__.py")} == {"contract", "control", "gemm", "vector",
        "attention", "stream", "pe", "baselines", "link", "dram", "soc"}


def test_the_rule_sees_what_it_should(tmp_path):
    """The check itself: an import in a function is not one at load time, a relative one is resolved."""
    source = ROOT/"host"/"mixpe"/"x.py"
    text = "import mixpe_sim\nfrom . import link\ndef f():\n    from mixpe_boards import x\n"
    tree = tmp_path/"x.py"
    tree.write_text(text)

    class Here(type(tree)):
        def relative_to(self, _root):
            return source.relative_to(ROOT)

    here = Here(tree)
    assert imports(here, everywhere=False) == {"mixpe_sim", "mixpe.link"}
    assert imports(here, everywhere=True) == {"mixpe_sim", "mixpe.link", "mixpe_boards.x"}


def loaded_by(code):
    run = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True, text=True, timeout=120, check=True)
    return run.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("code", [
    "import mixpe",
    "import mixpe; mixpe.open('reference').close()",
    "import mixpe.cli; from mixpe.cli.main import make_parser",
    "import mixpe.lm",
])
def test_plain_imports_load_numpy_and_pyserial_at_most(code):
    modules = loaded_by(code)
    assert "mixpe.quant.quantize" in modules and "numpy" in modules
    assert not [name for name in modules if name.split(".")[0] in HEAVY]
    assert not [name for name in modules if part_of(name) in ("gateware", "sim", "boards") and name != "mixpe_gateware"]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_style(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: BSD-2-Clause\n")
    assert path.name not in ("common.py", "utils.py", "core.py")
    assert "noqa" not in text or path.name == "test_structure.py"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"star import of {node.module}"


def replaced(text):
    """Functions of the clock's and the network's modules that a test's source replaces for all threads of a process.

    A server of another test whose event loop looks at a clock that stands waits for hours.
    """
    found = []
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "setattr":
            path = call.args[0].value if isinstance(call.args[0], ast.Constant) else ast.unparse(call.args[0]) + ".it"
            found += [path] if path.split(".")[-2] in ("time", "select", "socket", "threading", "asyncio") else []
    return found


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_replaces_what_other_threads_go_by(path):
    assert not replaced(path.read_text(encoding="utf-8"))


def test_what_is_replaced_is_seen():
    assert replaced('m.setattr(time, "monotonic", f); m.setattr("mixpe.link.udp.select.select", f)') == [
        "time.it", "mixpe.link.udp.select.select"]
    assert not replaced('m.setattr(progress, "time", f); m.setattr("mixpe.link.udp.select", f); setattr(x, "time", f)')
