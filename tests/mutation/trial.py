# SPDX-License-Identifier: BSD-2-Clause
"""One mutant in a copy of the tree: do tests go red?"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT     = Path(__file__).parents[2]
FOLDERS  = ("gateware", "host", "sim", "boards", "tests", "examples", "docs")
FILES    = ("pyproject.toml", "README.md", "Makefile")
NO_TESTS = 5    # exit status of pytest
LIMIT_S  = 300  # of a test, in which it is done many times over where nothing hangs


class Tree:
    """A copy of the repository that one mutant at a time is in.

    Parameters
    ----------
    folder : Path
        Made afresh.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for name in FOLDERS:
            shutil.copytree(ROOT/name, self.folder/name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy2(ROOT/name, self.folder/name)
        roots = [str(self.folder/name) for name in FOLDERS[:4]]
        self._environment = os.environ | {"PYTHONPATH": os.pathsep.join([*roots, str(self.folder)]),
            "PYTHONDONTWRITEBYTECODE": "1", "MIXPE_CACHE": str(self.folder/"cache")}

    def test(self, tests, limit_s):
        """Run tests until the first that fails.

        Returns
        -------
        str or None
            What went red: a test, or that none could be run or came to an end; None if all passed.
        """
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", str(LIMIT_S),
            "-m", "not slow and not models and not writers and not browser", *tests]
        with subprocess.Popen(command, cwd=self.folder, env=self._environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, start_new_session=True) as run:
            try:
                out, _ = run.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, 9)
                run.communicate()
                return f"no end within {limit_s:.0f} s"
        if run.returncode == 0:
            return None
        if run.returncode == NO_TESTS:
            raise RuntimeError(f"no tests in {' '.join(tests)}")
        red = [line.split()[1] for line in out.splitlines() if line.startswith(("FAILED", "ERROR")) and " " in line]
        return red[0] if red else f"pytest ended with {run.returncode}"

    def clean(self):
        """Forget what mutants were built into."""
        shutil.rmtree(self.folder/"cache", ignore_errors=True)

    def try_mutant(self, path, mutant, stages):
        """Whether a mutant is seen.

        Parameters
        ----------
        path : str
            Its file, from the root.
        mutant : Mutant
        stages : list of (tests, limit_s)
            Gone through until one goes red.

        Returns
        -------
        str or None, float
            What went red, and seconds.
        """
        place, begin = self.folder/path, time.monotonic()
        whole = place.read_text(encoding="utf-8")
        place.write_text(mutant.apply(whole), encoding="utf-8")
        try:
            for tests, limit_s in stages:
                red = self.test(tests, limit_s)
                if red:
                    return red, time.monotonic() - begin
            return None, time.monotonic() - begin
        finally:
            place.write_text(whole, encoding="utf-8")
