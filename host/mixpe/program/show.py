# SPDX-License-Identifier: BSD-2-Clause
"""A program for people and for JSON: its records, and what it takes."""

from mixpe.program.fences import fences
from mixpe.program.place import SESSION, Place
from mixpe.terminal import paragraph, size_text, table
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    B_ONE_ROW,
    B_SCALED,
    COLUMNS,
    HAS_B,
    HEADS,
    MEASURE,
    NARROW,
    RECORD_BYTES,
    Source,
)
from mixpe_gateware.contract.program.words import table_of

OPTIONS = {A_SCALED: "a scaled", B_SCALED: "b scaled", HAS_B: "b", B_ONE_ROW: "one row", NARROW: "A8",
    MEASURE: "measure", COLUMNS: "columns"}
SOURCES = {Source.POSITION: "position", Source.COUNT: "count", Source.TOKEN_BLOCK: "block", Source.TOKEN_ROW: "row",
    Source.LISTED: "listed", Source.ROW: "turn"}
FLOATS  = {"NORM": ("constant", "epsilon"), "QUERY": ("constant",)}
SILENT  = ("flags", "out_bytes")  # that follow from the others
HEAD    = ("record", "where", "op", "waits for", "results", "operands", "patches")


def summary(program):
    """What a program takes, in bytes: dict of str → int."""
    session = program.session
    return {
        "rows":           program.rows,
        "records":        program.records,
        "token_records":  program.token_lines + 1,
        "prompt_records": program.prompt_lines + 1,
        "bytes":          RECORD_BYTES*program.records,
        "context":        program.context,
        "state_bytes":    session.size,
        "cache_bytes":    session.cache_bytes,
        "constant_bytes": program.constants.size,
        "weight_bytes":   sum(sum(matrix.plan.stream_bytes) for matrix in program.matrices.values()),
    }


def _place(place):
    """Where something is: its name, and how far behind that section's or buffer's start."""
    return f"{place.name}" if place.section == place.name else f"{place.name}@{place.offset:x}"


def _value(line, name, value):
    if isinstance(value, Place):
        return _place(value)
    if name in FLOATS.get(line.mnemonic, ()):
        return f"{value:08x}"
    if name == "heads":
        return "×".join(str(HEADS.field(each).of(value)) for each in ("kv_heads", "group", "head_dim"))
    return str(value)


def _cells(index, line, waits):
    table = [name for name, _ in table_of(line.opcode).values()]
    words = [f"{name.removesuffix('_addr')}={_value(line, name, line.operands[name])}" for name in table
        if name in line.operands and name not in (*SILENT, "out_addr")]
    words += [text for bit, text in OPTIONS.items() if line.opcode == Opcode.VECTOR and line.options & bit]
    patches = ", ".join(f"{patch.word.removesuffix('_addr')} += {SOURCES[patch.source]}·{patch.stride}"
        for patch in line.patches)
    return (str(index), line.name, line.mnemonic, ", ".join(name.removeprefix("after_") for name in waits) or "-",
        _place(line.operands["out_addr"]), " ".join(words), patches)


def text(program):
    """A program as an aligned table, with a summary behind it: str."""
    rows  = [_cells(index, line, waits)
        for index, (line, waits) in enumerate(zip(program.lines, fences(program.lines), strict=True), 1)]
    takes = summary(program)
    block = program.block
    lines = [
        table(HEAD, rows, "<"*len(HEAD), below=(5, 6)),
        "",
        paragraph(f"{takes['records']} records, {size_text(takes['bytes'])}; "
            f"{takes['prompt_records']} of them for a prompt's token whose successor is known"),
        *([paragraph(f"a prompt runs {program.rows} tokens a pass, the first {takes['token_records']} records for each "
            "of them")] if program.rows > 1 else []),
        *([paragraph(f"a prompt's passes of {block.rows} tokens: {block.records} records, {size_text(block.bytes)}")]
            if block else []),
        paragraph(f"{takes['context']} positions; a session takes {size_text(takes['state_bytes'])}, "
            f"of which its cache has {size_text(takes['cache_bytes'])}"),
        f"weights {size_text(takes['weight_bytes'])}, beside them {size_text(takes['constant_bytes'])}",
    ]
    return "\n".join(lines)


def _json_value(value):
    if isinstance(value, Place):
        return {"section": value.section, "name": value.name, "offset": value.offset, "bytes": value.size,
            "relative": value.section == SESSION}
    return int(value)


def to_dict(program):
    """For JSON."""
    return {**summary(program), "activations": program.activations, "program": [{
        "record": index, "where": line.name, "op": line.mnemonic, "opcode": int(line.opcode),
        "function": int(line.function), "options": int(line.options), "fences": list(waits),
        "operands": {name: _json_value(value) for name, value in line.operands.items()},
        "patches": [{"word": patch.word, "source": SOURCES[patch.source], "stride": patch.stride}
            for patch in line.patches],
    } for index, (line, waits) in enumerate(zip(program.lines, fences(program.lines), strict=True), 1)]}
