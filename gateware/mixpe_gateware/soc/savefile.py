# SPDX-License-Identifier: BSD-2-Clause
"""A GTKWave savefile for the traces of a SoC: its clocks, bus, memory ports, states by name, and every stream.

LiteX's own writer needs the package pyvcd, and shows none of a module's streams unless it is told of each.
"""

from collections import Counter
from pathlib import Path

from litex.soc.interconnect.stream import Endpoint
from migen import FSM, Signal

# Flags of a line, as GTKWave has them.
HEX, BIN, RIGHT, BLANK, TRANSLATED  = 1 << 1, 1 << 3, 1 << 5, 1 << 9, 1 << 13
COLLAPSED, CLOSED, BEGIN, END       = 1 << 12, 1 << 22, 1 << 23, 1 << 24

HANDSHAKE = ("valid", "ready", "first", "last")
WISHBONE  = ("cyc", "stb", "ack", "err", "we", "adr", "sel", "dat_w", "dat_r")


def walk(module, path=()):
    """A module and all below it, with the names that lead there: yields (tuple of str, module)."""
    yield path, module
    unnamed = Counter()
    for name, child in getattr(module, "_submodules", []):
        if name is None:
            kind = type(child).__name__.lower()
            name = f"{kind}{unnamed[kind]}"
            unnamed[kind] += 1
        yield from walk(child, (*path, name))


class SaveFile:
    """Lines of a savefile.

    Parameters
    ----------
    names : SignalNamespace
        What `Builder.build` returns.
    prefix : str
        Of every signal in the trace, with the dot: ``TOP.sim.`` in LiteX's simulation.
    folder : str
        Where the files are that name the states.
    """

    def __init__(self, names, prefix, folder):
        self.names, self.prefix, self.folder = names, prefix, folder
        self.lines   = []
        self.filters = {}  # file name: text

    def group(self, title, signals, *, is_open=False):
        """Signals under a heading that can be folded.

        Parameters
        ----------
        title : str
        signals : list of (str, Signal) or (str, Signal, dict of int to str)
            Name to show, signal, and the names of its values. Those that are not in the Verilog are left out.
        is_open : bool
        """
        there = [entry for entry in signals if entry[1] in self.names.sigs]
        if not there:
            return
        closed = 0 if is_open else CLOSED
        self.lines += [f"@{BEGIN | BLANK | closed:x}", f"-{title}"]
        for name, signal, *values in there:
            self._signal(name, signal, *values)
        self.lines += [f"@{END | BLANK | (closed and closed | COLLAPSED):x}", f"-{title}"]

    def _signal(self, name, signal, values=None):
        where = self.prefix + self.names.get_name(signal) + (f"[{len(signal) - 1}:0]" if len(signal) > 1 else "")
        flags = RIGHT | (HEX if len(signal) > 1 else BIN)
        if values is not None:
            file = f"states_{self.names.get_name(signal)}.txt"
            digits = -(-len(signal)//4)
            self.filters[file] = "".join(f"{value:0{digits if len(signal) > 1 else 1}x} {text}\n"
                                         for value, text in sorted(values.items()))
            flags |= TRANSLATED
            self.lines += [f"@{flags:x}", f"^1 {Path(self.folder, file)}"]
        else:
            self.lines.append(f"@{flags:x}")
        self.lines.append(f"+{{{name}}} {where}")


def _states(fsm):
    """Names of a machine's states; those that Migen adds to wait some cycles have none of their own."""
    return {value: state if isinstance(state, str) else f"wait{value}" for value, state in fsm.decoding.items()}


def _streams(module, path):
    """Streams of a module: yields (title, signals)."""
    for name, value in vars(module).items():
        if isinstance(value, Endpoint):
            fields = [(field, getattr(value, field)) for field in HANDSHAKE]
            fields += [(field, getattr(record, field)) for record in (value.payload, value.param)
                       for field, *_ in record.layout if isinstance(getattr(record, field), Signal)]
            yield ".".join((*path, name)), fields


def write_savefile(soc, names, file, *, dump, prefix, folder=None):
    """Write the savefile of a SoC that was built.

    Parameters
    ----------
    soc : SoC
    names : SignalNamespace
        What `Builder.build` returned.
    file : Path
        Files with the names of states go beside it.
    dump : str
        The trace.
    prefix : str
        Of every signal in the trace, with the dot.
    folder : str, optional
        Where `file` will be when it is opened; its own folder.
    """
    file = Path(file)
    save = SaveFile(names, prefix, file.parent if folder is None else folder)
    modules = list(walk(soc))
    save.group("clock", [("clk", soc.crg.cd_sys.clk), ("rst", soc.crg.cd_sys.rst)], is_open=True)
    if hasattr(soc, "mixpe"):
        inside = soc.mixpe.accelerator
        save.group("accelerator", [(name, getattr(inside, name)) for name in ("busy", "posted", "ended", "reset")],
                   is_open=True)
    save.group("states", [(".".join(path), module.state, _states(module)) for path, module in modules
                          if isinstance(module, FSM)], is_open=True)
    for kind, buses in (("master", soc.bus.masters), ("slave", soc.bus.slaves)):
        for name, bus in buses.items():
            save.group(f"bus {kind} {name}",
                       [(field, getattr(bus, field)) for field in WISHBONE if hasattr(bus, field)])
    for path, module in modules:
        for title, signals in _streams(module, path):
            save.group(title, signals)
    head = [f'[dumpfile] "{dump}"', f"[treeopen] {prefix.split('.')[0]}.", "[sst_expanded] 1"]
    file.write_text("\n".join([*head, *save.lines]) + "\n", encoding="utf-8")
    for name, text in save.filters.items():
        file.with_name(name).write_text(text, encoding="utf-8")
