# SPDX-License-Identifier: BSD-2-Clause
"""Options of commands that make a SoC, for files about it: by the names that LiteX's own tools use."""

from mixpe.exports import FILES


def add_export_options(parser, where):
    """Add them to a parser; `where` says where the savefile goes."""
    group = parser.add_argument_group("files about the SoC, as LiteX's tools write them")
    group.add_argument("--csr-csv", "--soc-csv", metavar="FILE", help="registers and memory map as CSV, for litex_cli")
    group.add_argument("--csr-json", "--soc-json", metavar="FILE", help="the same as JSON")
    group.add_argument("--soc-svd", "--csr-svd", metavar="FILE", help="the same as CMSIS-SVD, for debuggers")
    group.add_argument("--gtkwave-savefile", action="store_true",
                       help=f"GTKWave's savefile, with states by name and streams in groups: {where}")


def export_targets(args):
    """Files that were asked for, for `mixpe.exports.copy_exports`."""
    return {name: getattr(args, name) for name in FILES if getattr(args, name) is not None}
