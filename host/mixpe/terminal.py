# SPDX-License-Identifier: BSD-2-Clause
"""Tables and paragraphs as wide as the terminal: $COLUMNS, else what the terminal says, else 80 columns."""

import os
import re
import shutil
import textwrap
from contextlib import suppress

GAP    = "  "
INDENT = "    "
LEAST  = 20  # columns that a text which is wrapped keeps

_BREAKS = re.compile(r"(?<=[ ./+,;·_])(?=\S)|(?<=\S)(?=\()")


def width(stream=None):
    """Columns that a line may have: on standard output, or on a file that is a terminal."""
    columns = shutil.get_terminal_size((80, 24)).columns
    if stream is not None and "COLUMNS" not in os.environ:
        with suppress(OSError, ValueError, AttributeError):  # no file of the system's
            columns = os.get_terminal_size(stream.fileno()).columns
    return max(40, columns)


def _wrapped(text, columns):
    """Lines of a cell, broken behind spaces, dots, slashes and the like, else anywhere."""
    lines = [""]
    for piece in _BREAKS.split(text):
        while len((lines[-1] + piece).rstrip()) > columns:
            if lines[-1]:
                lines.append("")
            else:
                lines[-1], piece = piece[:columns], piece[columns:]
                lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines if line.strip()] or [""]


def paragraph(text, indent=""):
    """A text of one line, wrapped; `indent` stands before its further lines."""
    return textwrap.fill(text, width(), subsequent_indent=indent, break_on_hyphens=False)


def _widths(lines):
    return [max(map(len, column)) for column in zip(*lines, strict=True)]


def _total(widths):
    return sum(widths) + len(GAP)*(len(widths) - 1)


def _laid(lines, align, widths, wrap=()):
    """Lines of text: cells side by side, those of the columns in `wrap` over several lines."""
    result = []
    for cells in lines:
        parts = [_wrapped(cell, widths[i]) if i in wrap else [cell] for i, cell in enumerate(cells)]
        for row in range(max(map(len, parts))):
            here = [part[row] if row < len(part) else "" for part in parts]
            result.append(GAP.join(cell.rjust(size) if side == ">" else cell.ljust(size)
                for cell, side, size in zip(here, align, widths, strict=True)).rstrip())
    return result


def _shrunk(widths, wrap, limit):
    """Widths with the columns in `wrap` made so small that all fit, the widest first; None where they cannot."""
    widths = list(widths)
    while _total(widths) > limit:
        widest = max((i for i in wrap if widths[i] > LEAST), key=lambda i: widths[i], default=None)
        if widest is None:
            return None
        widths[widest] -= 1
    return widths


def _without(cells, taken):
    return tuple(cell for i, cell in enumerate(cells) if i not in taken)


def _headed(lines, align, heading, wrap, limit):
    """The first `heading` columns as a line of its own wherever they change."""
    head, *rows = lines
    taken = range(heading)
    inner = [tuple(head[heading:]), *(tuple(row[heading:]) for row in rows)]
    inner = table_lines(inner, align[heading:], limit - len(GAP), wrap=tuple(i - heading for i in wrap if i >= heading))
    if len(inner) != len(lines):
        return None  # the rest did not fit either
    result, last = [GAP + inner[0]], None
    for row, line in zip(rows, inner[1:], strict=True):
        names = GAP.join(row[i] for i in taken if row[i])
        if names != last:
            result += _wrapped(names, limit)
            last = names
        result.append(GAP + line)
    return result


def _below(lines, align, below, wrap, limit):
    """The columns in `below` as indented lines under each row."""
    kept   = [i for i in range(len(align)) if i not in below]
    inner  = [_without(cells, below) for cells in lines]
    placed = table_lines(inner, "".join(align[i] for i in kept), limit,
        wrap=tuple(kept.index(i) for i in wrap if i in kept))
    if len(placed) != len(lines):
        return None
    result = []
    for cells, line in zip(lines, placed, strict=True):
        text = GAP.join(cells[i] for i in below if cells[i])
        result += [line, *(INDENT + part for part in _wrapped(text, limit - len(INDENT)) if part)]
    return result


def _folded(lines, align, wrap, limit):
    """Tables one below the other, each with the first column and as many of the others as fit."""
    widths = _widths(lines)
    result, at = [], 1
    first  = min(widths[0], limit//2)
    while at < len(align):
        columns, used = [0], first
        while at < len(align):
            room = limit - used - len(GAP)
            size = min(widths[at], max(LEAST, room)) if at in wrap else widths[at]
            if size > room and len(columns) > 1:
                break
            columns.append(at)
            used, at = used + len(GAP) + size, at + 1
        part  = [tuple(cells[i] for i in columns) for cells in lines]
        sizes = [first, *(widths[i] for i in columns[1:])]
        inner = {columns.index(i) for i in wrap if i in columns} | {0}
        sizes = _shrunk(sizes, inner - {0}, limit) or sizes
        result += [*([""] if result else []), *_laid(part, "".join(align[i] for i in columns), sizes, inner)]
    return result


def table_lines(lines, align, limit, *, wrap=(), heading=0, below=()):
    """See `table`: rows of cells, the head first, as a list of lines."""
    lines  = [tuple(cells) for cells in lines]
    widths = _widths(lines)
    if _total(widths) <= limit:
        return _laid(lines, align, widths)
    sizes = _shrunk(widths, wrap, limit)
    if sizes is not None:
        return _laid(lines, align, sizes, wrap)
    return (heading and _headed(lines, align, heading, wrap, limit)
        or below and _below(lines, align, below, wrap, limit) or _folded(lines, align, wrap, limit))


def table(head, rows, align, *, wrap=(), heading=0, below=()):
    """An aligned table that fits the terminal.

    Where it is too wide, the texts of some columns are wrapped; else what a row begins with becomes a line of its own
    above it, or some columns lines below it; else the table goes on below with its first column repeated.

    Parameters
    ----------
    head : tuple of str
    rows : sequence of tuples of str
    align : str
        ``<`` or ``>`` for each column.
    wrap : sequence of int
        Columns whose texts may be wrapped.
    heading : int
        So many columns may become a line above.
    below : sequence of int
        Columns that may become lines below.

    Returns
    -------
    str
    """
    return "\n".join(table_lines([head, *rows], align, width(), wrap=wrap, heading=heading, below=below))


def scaled(value, step, units):
    """A value in the first unit of which there are fewer than a step, or in the last one: (number, unit)."""
    for unit in units[:-1]:
        if value < step:
            return value, unit
        value /= step
    return value, units[-1]


def size_text(size):
    """1536 → ``1.5 KiB``."""
    number, unit = scaled(size, 1024, ("bytes", "KiB", "MiB", "GiB"))
    return f"{number:.4g} {unit}"
