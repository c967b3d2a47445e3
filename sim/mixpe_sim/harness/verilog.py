# SPDX-License-Identifier: BSD-2-Clause
"""A module as one Verilog file, the contents of its memories in it."""

from litex.gen.fhdl.verilog import convert


def write_module(top, ios, path):
    """Write Verilog module ``accelerator``.

    LiteX puts the contents of memories into files that the simulator looks for in its working directory; a library has
    none of its own, so they become assignments.

    Parameters
    ----------
    top : migen.Module
    ios : set of Signal
    path : Path
    """
    # Blocking assignments in combinational processes, as LiteX's own simulations have them.
    output = convert(top, ios, name="accelerator", regular_comb=False)
    text   = output.main_source
    for name, content in output.data_files.items():
        start = text.index(f'$readmemh("{name}", ')
        end   = text.index(";", start) + 1
        memory = text[start:end].partition(", ")[2].rstrip(");")
        words  = " ".join(f"{memory}[{index}] = 'h{word};" for index, word in enumerate(content.split()))
        text   = text[:start] + words + text[end:]
    path.write_text(text)
