# SPDX-License-Identifier: BSD-2-Clause
"""Markdown tables of rows, each by a list of its columns; and how rows are named in them."""


def table(columns, rows):
    """A Markdown table.

    Parameters
    ----------
    columns : list of (header, value) or (header, value, digits)
        `value` is a column of the rows, or a function of a row. With `digits` it is a number.
    rows : iterable

    Returns
    -------
    str
    """
    def cell(row, value, digits=None):
        found = value(row) if callable(value) else row.get(value)
        return "–" if found is None else str(found) if digits is None else number(found, digits)

    lines = [[header for header, *_ in columns], *([cell(row, *rest) for _, *rest in columns] for row in rows)]
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + " --- |"*len(columns), *body])


def number(value, digits=1):
    """A number with commas, or a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def name_of(row):
    """Short name of a row, with what tells it from others of its design."""
    options = [f"W={row['p_width']}"] if "p_width" in row else []
    if row["design"] == "int8":
        options.append("DSP" if row.get("p_dsp") else "LUT")
    if row.get("rows", 1) > 1:
        options.append(f"{row['rows']} rows")
    if row.get("router"):
        options.append(row["router"])
    return row["design"] + (f" ({', '.join(options)})" if options else "")


def not_measured(rows, names=name_of):
    """A sentence on the rows without figures and why, or nothing."""
    def why(row):
        lines = row.get("error", "").splitlines() or [""]
        return f"{row['status']}: {lines[0].split(': ERROR: ')[-1][:120]}"

    bad = dict.fromkeys(f"{names(row)} ({why(row)})" for row in rows if not is_ok(row))
    return f"Not measured: {'; '.join(bad)}." if bad else ""


def is_ok(row):
    """Whether a row has figures."""
    return row.get("status", "ok") == "ok"


def paragraphs(*texts):
    """Those that are not empty, an empty line between them."""
    return "\n\n".join(filter(None, texts))
