# SPDX-License-Identifier: BSD-2-Clause
"""Who imports whom, read from the sources; what `import mixpe` loads, in a fresh interpreter; small rules of style."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT    = Path(__file__).parents[1]
FOLDERS = {"gateware": "mixpe.gateware", "host": "mixpe", "sim": "mixpe.sim", "boards": "mixpe.boards"}
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT/folder).rglob("*.py") if "__pycache__" not in path.parts)
TESTS   = sorted(path for path in (ROOT/"tests").rglob("*.py") if "__pycache__" not in path.parts)
HEAVY   = ("migen", "litex", "litedram", "liteeth", "litescope", "litex_boards", "torch", "matplotlib", "transformers",
    "safetensors")

# Parts of the package, and what each may import of the package when it is loaded.
ALLOWED = {
    "spec":     {"spec"},
    "gateware": {"gateware", "spec", "host"},  # of the host only its errors: see below
    "boards":   {"boards", "gateware", "spec", "host"},
    "sim":      {"sim", "gateware", "spec", "host"},
    "host":     {"host", "spec"},
}


def part_of(module):
    """Part of the package that a dotted name belongs to; None outside of it."""
    if module.split(".")[0] != "mixpe":
        return None
    for prefix, part in (("mixpe.gateware.spec", "spec"), ("mixpe.gateware", "gateware"), ("mixpe.sim", "sim"),
            ("mixpe.boards", "boards")):
        if module == prefix or module.startswith(prefix + "."):
            return part
    return "host"


def module_of(path):
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([FOLDERS[folder], *[name for name in rest if name != "__init__"]])


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


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) == "spec"], ids=lambda p: p.stem)
def test_the_contract_needs_numpy_only(path):
    """Also inside functions."""
    for name in imports(path, everywhere=True):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top == "numpy" or part_of(name) == "spec", name


@pytest.mark.parametrize("path", [path for path in SOURCES if part_of(module_of(path)) == "gateware"],
    ids=lambda path: str(path.relative_to(ROOT)))
def test_gateware_takes_nothing_from_the_host_but_errors(path):
    for name in imports(path, everywhere=True):
        assert part_of(name) != "host" or name == "mixpe.errors" or name.startswith("mixpe.errors."), name


def test_the_rule_sees_what_it_should(tmp_path):
    """The check itself: an import in a function is not one at load time, a relative one is resolved."""
    source = ROOT/"host"/"x.py"
    text = "import mixpe.sim\nfrom . import gateware\ndef f():\n    from mixpe.boards import x\n"
    tree = tmp_path/"x.py"
    tree.write_text(text)

    class Here(type(tree)):
        def relative_to(self, _root):
            return source.relative_to(ROOT)

    here = Here(tree)
    assert imports(here, everywhere=False) == {"mixpe.sim", "mixpe.gateware"}
    assert imports(here, everywhere=True) == {"mixpe.sim", "mixpe.gateware", "mixpe.boards.x"}


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
    assert "mixpe.quantize" in modules and "numpy" in modules
    assert not [name for name in modules if name.split(".")[0] in HEAVY]
    assert not [name for name in modules if part_of(name) in ("gateware", "sim", "boards") and name != "mixpe.gateware"]


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_style(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# SPDX-License-Identifier: BSD-2-Clause\n")
    assert path.name not in ("common.py", "utils.py", "core.py")
    assert "noqa" not in text or path.name == "test_structure.py"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"star import of {node.module}"
