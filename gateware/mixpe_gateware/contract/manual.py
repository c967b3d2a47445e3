# SPDX-License-Identifier: BSD-2-Clause
"""The page of the contract, from its tables: ``python -m mixpe_gateware.contract.manual`` writes docs/registers.md."""

from pathlib import Path

from mixpe_gateware.contract.config import GROUP_MIN, PARAMETERS, PE_KINDS
from mixpe_gateware.contract.descriptor import WORDS, Opcode
from mixpe_gateware.contract.digest import VERSION, digest
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.layout import section_entries
from mixpe_gateware.contract.program.records import (
    ATTENTION,
    CHECK,
    HEADER,
    HEADS,
    OP,
    PATCH,
    PATCHES,
    RECORD_BYTES,
    RECORD_WORDS,
    ROW,
    VECTOR,
    RecordWord,
)
from mixpe_gateware.contract.program.run import ROW_WORDS, RUN_WORDS
from mixpe_gateware.contract.registers import (
    ACCESS,
    COUNTER_BANK,
    COUNTER_OFFSET,
    COUNTER_TEXT,
    CSR_BANK,
    CSR_PAGE_BYTES,
    JOB,
    OFFSETS,
    OPTIONAL_COUNTER_TEXT,
    REGISTERS,
)
from mixpe_gateware.contract.scaling import SUPERBLOCK_GROUPS, Form

PAGE = Path(__file__).parents[3]/"docs"/"registers.md"

TEXT = """\
# Registers and descriptors

Written by `python -m mixpe_gateware.contract.manual` from the tables in `gateware/mixpe_gateware/contract`:
`registers.py`, `descriptor.py`, `config.py`. From the same tables come the CSRs of the gateware, the driver, the
reference device, and the `soc.svd`, `csr.csv` and `csr.json` of each build.

Contract version {version}, digest `{digest:016x}`. A driver refuses a device with another one. The digest covers
registers, descriptor, counters, codes of jobs, and by golden vectors (`golden.py`) layout and arithmetic. It covers no
texts, and not which processing elements there are. Builds with `minima` have the digest `{with_minima:016x}`: what only
they have is in it besides; those with `decoder` `{with_decoder:016x}`, those with both `{with_both:016x}`.

## Registers

Words of 32 bits at CSR bank {bank}, that is CSR base + 0x{bank_offset:x}. {access}.

{registers}

## Counters

Low and high word of each, as of the last `latch`, at CSR bank {counter_bank}, 0x{counter_offset:x} behind the others.

{counters}

## Descriptor

The words of a job in the order in which they are written to the `job_` registers; the last one posts it. Bits that no
field has must be zero.

{words}

## How a job ends

{codes}

## Configuration

Parameters of `Config`. A device tells them in its identity registers, the processing element by its index in {kinds}.

{parameters}

## Weight stream

A block of eight output channels has these sections in this order, each padded to a beat; see `contract/layout.py`.
Which they are depends on the form of the job; `MINIMUM` and `TWO_LEVEL` are in builds with `minima`
(`contract/scaling.py`).

{sections}

## Programs

In builds with `decoder` a descriptor with the opcode {run} runs a program in memory. Its words, by
`contract/program/run.py`:

{run_words}

A row of a batch's table has the words {row_words}.

A program is a header and records of {record_words} words, {record_bytes} bytes, one behind the other
(`contract/program/records.py`). Words of the header that are not here are zero, but for its check:

{header}

Words of a record; those of one for the GEMM engine are a job's, with results and their room where these are:

{records}
"""


def _table(head, rows):
    lines = [head, ["---"]*len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _bits(field):
    return str(field.lsb) if field.is_flag else f"{field.msb}:{field.lsb}"


def _built(entry):
    return f", in builds with `{entry.part}`" if entry.part else ""


def _text(word):
    """A word's text and fields in one cell."""
    parts = [word.text]
    for field in word.fields:
        codes = "; ".join(f"{code} {text}" for code, text in field.values)
        parts.append(f"`{_bits(field)}` **{field.name}** {field.text}{f' ({codes})' if codes else ''}{_built(field)}")
    return "<br>".join(parts)


def _registers():
    for register in REGISTERS:
        text   = register.text if register in JOB else _text(register)  # fields of words stand with the descriptor
        text  += _built(register)
        yield [f"`0x{OFFSETS[register.name]:02x}`", f"`{register.name}`", register.access, text,
            register.effect.value]


def _counters():
    texts = {**COUNTER_TEXT, **{name: f"{text}, in builds with `{part}`"
        for part, counters in OPTIONAL_COUNTER_TEXT.items() for name, text in counters.items()}}
    for index, (name, text) in enumerate(texts.items()):
        yield [f"`0x{8*index:02x}`", f"`{name}`", text]


def _words():
    for index, word in enumerate(WORDS):
        yield [index, f"`{word.name}`", _text(word)]


def _parameters():
    for each in PARAMETERS:
        default = "from others" if each.default is None else each.default
        text = f"{each.text.rstrip('.')}{_built(each)}." if each.part else each.text
        yield [f"`{each.name}`", default, each.must, text]


def _sections():
    k, groups = 8*GROUP_MIN*SUPERBLOCK_GROUPS, 8*SUPERBLOCK_GROUPS  # to tell the entries apart
    what = {k: "weight", groups: "group", 8: "superblock of eight groups"}
    for form in Form:
        for section, entries in section_entries(k, groups, form).items():
            yield [f"`{form.name}`", section.name, f"{section.bits} bits", f"a channel and {what[entries]}"]


def _records():
    shared = {0: OP, CHECK: RecordWord("check", "of the other words, the record's place and the program's identity")}
    shared |= {index: PATCH for index in PATCHES}
    for index in range(RECORD_WORDS):
        if index in shared:
            word = shared[index]
            text = _text(word) + (f"<br>or, where a record names a row: {_text(ROW)}" if index == PATCHES[0] else "")
            yield [index, f"`{word.name}`", text, f"`{word.name}`", "the same"]
        else:
            cells = []
            for table in (VECTOR, ATTENTION):
                name, text = table.get(index, ("", ""))
                cells += [f"`{name}`" if name else "", _text(HEADS) if name == HEADS.name else text]
            yield [index, *cells]


def manual():
    """The page: str."""
    return TEXT.format(
        version=VERSION, digest=digest(), with_minima=digest(("minima",)), with_decoder=digest(("decoder",)),
        with_both=digest(("minima", "decoder")),
        bank=CSR_BANK, bank_offset=CSR_BANK*CSR_PAGE_BYTES,
        access="; ".join(f"{name}: {text}" for name, text in ACCESS.items()),
        registers=_table(["offset", "register", "access", "what", "what writing it does"], _registers()),
        counter_bank=COUNTER_BANK, counter_offset=COUNTER_OFFSET,
        counters=_table(["offset", "counter", "what"], _counters()),
        words=_table(["word", "name", "what"], _words()),
        codes=_table(["code", "name", "what"], [[code.value, f"`{code.name}`", code.text + _built(code)]
            for code in JobCode]),
        kinds=", ".join(PE_KINDS),
        parameters=_table(["parameter", "default", "must be", "what"], _parameters()),
        sections=_table(["form", "section", "size", "of"], _sections()),
        run=int(Opcode.RUN), record_words=RECORD_WORDS, record_bytes=RECORD_BYTES,
        run_words=_table(["word", "name", "what"], [[index, f"`{word.name}`", _text(word)]
            for index, word in enumerate(RUN_WORDS)]),
        row_words=", ".join(ROW_WORDS),
        header=_table(["word", "name", "what"], [[index, f"`{name}`", text] for index, (name, text) in HEADER.items()]),
        records=_table(["word", "of VECTOR", "what", "of ATTENTION", "what"], _records()))


def main():
    """Write the page."""
    PAGE.write_text(manual(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
