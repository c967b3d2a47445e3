# SPDX-License-Identifier: BSD-2-Clause
"""What tools make of our imports: a checker and an editor's library resolve them, and Python finds the packages."""

import ast
import subprocess
import sys
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import jedi
import pytest
from jedi.api.environment import InterpreterEnvironment

ROOT     = Path(__file__).parents[1]
ROOTS    = [ROOT/folder for folder in ("host", "gateware", "sim", "boards")]
PACKAGES = ("mixpe", "mixpe_gateware", "mixpe_sim", "mixpe_boards")
UNRESOLVED = """\
import mixpe.nowhere
from mixpe.errors import NoSuchError
from litex.soc import nowhere


def late():
    from mixpe_boards.nowhere import board
"""


def python(*arguments, cwd, timeout=300):
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def unresolved(path):
    """Imports of ours, of modules and of names in them, whose definition jedi does not find: list of (line, name)."""
    text   = path.read_text(encoding="utf-8")
    lines  = text.splitlines()
    script = jedi.Script(text, path=path, project=jedi.Project(ROOT, sys_path=[*map(str, ROOTS), *sys.path]),
        environment=InterpreterEnvironment())
    missing = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            ours = node.level > 0 or node.module.partition(".")[0] in PACKAGES
            names = [(alias, alias.col_offset) for alias in node.names]
        elif isinstance(node, ast.Import):
            ours = any(alias.name.partition(".")[0] in PACKAGES for alias in node.names)
            names = [(alias, alias.col_offset + len(alias.name) - 1) for alias in node.names]
        else:
            continue
        for alias, offset in names if ours else ():
            column = len(lines[alias.lineno - 1].encode()[:offset].decode())
            found  = script.goto(alias.lineno, column, follow_imports=True)
            if not any(place.module_path and place.module_path != path for place in found):
                missing.append((alias.lineno, alias.name))
    return missing


@pytest.fixture
def new_files(tmp_path):
    """A new module in each package, and a file elsewhere that imports all of them."""
    names = {package: f"new_{tmp_path.name}" for package in PACKAGES}
    paths = [root/package/f"{names[package]}.py" for root in ROOTS for package in PACKAGES if (root/package).is_dir()]
    lines = [f"from {package}.{name} import VALUE as {package}_value" for package, name in names.items()]
    (tmp_path/"user.py").write_text("\n".join([*lines, f"print({', '.join(f'{name}_value' for name in PACKAGES)})"]))
    try:
        for path in paths:
            path.write_text("VALUE = 42\n")
        yield tmp_path/"user.py"
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_every_import_resolves_and_a_new_file_is_found_at_once(new_files, tmp_path):
    """By Python in any folder, by mypy and by jedi, without installing again; nothing in the four packages is missed.

    One test, since the new files come and go under the eyes of whoever reads the tree.
    """
    run = python(new_files, cwd=tmp_path)
    assert run.stdout.split() == ["42"]*len(PACKAGES), run.stderr
    missing = {path: unresolved(path) for root in ROOTS for path in sorted(root.rglob("*.py"))}
    assert len(missing) > 200
    assert not {path: names for path, names in missing.items() if names}
    assert not unresolved(new_files)
    for more in ([], ["--config-file", ROOT/"pyproject.toml", new_files]):  # the tree, the user of the new files
        run = python("-m", "mypy", *more, cwd=ROOT)
        assert run.returncode == 0, run.stdout + run.stderr


def test_mypy_sees_what_does_not_resolve(tmp_path):
    """The check itself: a module, a name, a third party's module, and an import inside a function."""
    (tmp_path/"planted.py").write_text(UNRESOLVED)
    run = python("-m", "mypy", "--config-file", ROOT/"pyproject.toml", "--cache-dir", tmp_path/"cache",
        tmp_path/"planted.py", cwd=tmp_path)
    lines = [line.rpartition("planted.py:")[2] for line in run.stdout.splitlines() if ": error: " in line]
    assert run.returncode == 1
    assert [int(line.partition(":")[0]) for line in lines] == [1, 2, 3, 7], run.stdout


def test_jedi_misses_what_is_not_there(tmp_path):
    """The check itself."""
    (tmp_path/"planted.py").write_text(UNRESOLVED)
    assert unresolved(tmp_path/"planted.py") == [(1, "mixpe.nowhere"), (2, "NoSuchError"), (7, "board")]


def test_the_editable_install_is_a_list_of_folders():
    """A path file without code, which every checker and editor follows."""
    paths = [path for path in distribution("mixpe").files if path.suffix == ".pth"]
    assert len(paths) == 1
    folders = paths[0].read_text().split()
    assert {Path(folder).name for folder in folders} == {root.name for root in ROOTS}
    assert all(Path(folder).is_dir() for folder in folders)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_have_types(package):
    assert (files(package)/"py.typed").is_file()


@pytest.mark.parametrize("start", [["-c"], ["-i", "-c"]], ids=["command", "interactive"])
def test_python_beside_a_clone_gets_the_package(start, tmp_path):
    """A clone has the package's name, and Python looks first where it is started."""
    for package in ("mixpe", "mixpe_gateware"):
        (tmp_path/package/"host").mkdir(parents=True)
        (tmp_path/package/"README.md").write_text("A clone.\n")
    run = subprocess.run([sys.executable, *start,
        "import mixpe, mixpe_gateware.contract.config as c; print(mixpe.open.__module__, c.K_LIMIT)"],
        cwd=tmp_path, input="", capture_output=True, text=True, timeout=60)
    assert run.stdout.split() == ["mixpe.devices.opening", "16384"], run.stderr
