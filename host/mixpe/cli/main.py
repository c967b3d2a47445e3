# SPDX-License-Identifier: BSD-2-Clause
"""Entry of the command line: finds the commands, runs one, turns errors into one line and an exit code."""

import argparse
import importlib
import os
import pkgutil
import sys
import warnings
from importlib import metadata
from pathlib import Path

from mixpe.cli.help import Paragraphs
from mixpe.errors import MixpeError

DESCRIPTION = "Quantised LLM layers on an FPGA, on its simulation, or on the numpy reference."

# In the order of the help text; commands that are not named here come after these.
ORDER = ("demo", "info", "open", "models", "chat", "serve", "generate", "program", "evaluate", "quantize", "bench",
    "sim", "boards", "build", "flash", "selftest", "explore")

# Packages that a plain installation lacks, and the extra that brings them.
EXTRAS = {
    "migen": "gateware", "litex": "gateware", "litedram": "gateware", "liteeth": "gateware", "litescope": "gateware",
    "litex_boards": "gateware", "matplotlib": "plot", "torch": "torch", "transformers": "torch", "starlette": "serve",
    "uvicorn": "serve", "llama_cpp": "llama",
}

EXIT_ERROR, EXIT_INTERRUPTED = 2, 130


def _missing_text(error):
    """What to do about an import that failed; None if it is nobody's optional package."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return f"this needs the package {package}; get it with: pip install 'mixpe[{EXTRAS[package]}]'"


def _command_names():
    found = {module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])} - {"main"}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def _add_missing(subparsers, name, text):
    def run(_args):
        raise MixpeError(text)

    parser = subparsers.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run, takes_anything=True)


def make_parser():
    """Parser with all commands; one whose packages are missing says so when it is run."""
    parser = argparse.ArgumentParser(prog="mixpe", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"mixpe {metadata.version('mixpe')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _command_names():
        try:
            module = importlib.import_module(f"mixpe.cli.{name}")
        except ModuleNotFoundError as error:
            text = _missing_text(error)
            if text is None:
                raise
            _add_missing(subparsers, name, text)
            continue
        if hasattr(module, "add_parser"):
            before = set(subparsers.choices)
            module.add_parser(subparsers)
            for added in set(subparsers.choices) - before:
                subparsers.choices[added].set_defaults(run=module.run)
                subparsers.choices[added].formatter_class = Paragraphs
    return parser


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Notes on a model are one line for people; other warnings are shown as always."""
    text = (f"mixpe: note: {message}\n" if category is UserWarning else
            warnings.formatwarning(message, category, filename, lineno, line))
    print(text, end="", file=file or sys.stderr)


def _fail(text):
    print(f"mixpe: error: {' '.join(str(text).split())}", file=sys.stderr)
    return EXIT_ERROR


def main(argv=None):
    """Run one command.

    Parameters
    ----------
    argv : list of str, optional
        Default: the process's arguments.

    Returns
    -------
    int
        Exit code: the command's own, 2 for errors, 130 after Ctrl-C.
    """
    parser = make_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and not getattr(args, "takes_anything", False):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = args.run(args)
        sys.stdout.flush()
        return code or 0
    except MixpeError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        text = _missing_text(error)
        if text is None:
            raise
        return _fail(text)
    except KeyboardInterrupt:
        print("mixpe: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone (as with `| head`); nothing is left to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
