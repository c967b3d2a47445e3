# SPDX-License-Identifier: BSD-2-Clause
"""The command ``mixpe``. Each command is a module here with add_parser(subparsers) and run(args)."""

from mixpe.cli.main import main

__all__ = ["main"]
