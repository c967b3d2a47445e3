# SPDX-License-Identifier: BSD-2-Clause
"""What LiteX 2024.12 leaves out of the register maps that its builder writes: fields, and who may read and write.

    soc.svd    `<access>` of the registers of a bank made by `control.registers`; LiteX writes fields, but no access
    csr.csv    write-only registers as ``wo``, and a line a field: csr_field,BANK_REGISTER_FIELD,offset,size,access
    csr.json   the same, the fields in their register's entry

LiteX's own readers of these files know ``wo`` and pass over lines and entries that they do not know.
"""

import json
import re
from pathlib import Path

SVD_ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}


def _csrs(soc):
    """All CSRs of a SoC by bank: iterator of (name of the bank, CSR)."""
    for bank, region in soc.csr_regions.items():
        if isinstance(region.obj, list):  # else a memory
            for csr in region.obj:
                yield bank, csr


def complete_json(text, soc):
    """csr.json with access and fields."""
    found = json.loads(text)
    for bank, csr in _csrs(soc):
        entry = found["csr_registers"][f"{bank}_{csr.name}"]
        entry["type"] = getattr(csr, "access", entry["type"])
        if hasattr(csr, "fields"):
            entry["fields"] = {field.name: {"offset": field.offset, "size": field.size} for field in csr.fields.fields}
    return json.dumps(found, indent=4)


def complete_csv(text, soc):
    """csr.csv with access and fields."""
    csrs, lines = {f"{bank}_{csr.name}": csr for bank, csr in _csrs(soc)}, []
    for line in text.splitlines():
        cells = line.split(",")
        if cells[0] != "csr_register":
            lines.append(line)
            continue
        csr = csrs[cells[1]]
        cells[-1] = getattr(csr, "access", cells[-1])
        lines.append(",".join(cells))
        for field in csr.fields.fields if hasattr(csr, "fields") else ():
            lines.append(f"csr_field,{cells[1]}_{field.name},{field.offset},{field.size},{cells[-1]}")
    return "\n".join(lines) + "\n"


def complete_svd(text, soc):
    """soc.svd with the access of each register, behind its size."""
    access = {(bank.upper(), csr.name.upper()): SVD_ACCESS[csr.access] for bank, csr in _csrs(soc)
        if hasattr(csr, "access")}
    names, inside, lines = {}, None, []
    for line in text.splitlines():
        lines.append(line)
        tag = re.match(r"\s*<(/?\w+)>([^<]*)", line)
        if tag is None:
            continue
        if tag[1] in ("peripheral", "register", "field", "/register"):
            inside = tag[1]
        elif tag[1] == "name":
            names[inside] = tag[2]
        elif tag[1] == "size" and inside == "register":
            found = access.get((names["peripheral"], names["register"]))
            if found:
                lines.append(f"{line[:line.index('<')]}<access>{found}</access>")
    return "\n".join(lines)


def complete_csr_maps(builder):
    """Complete the files that a builder has written.

    Parameters
    ----------
    builder : litex.soc.integration.builder.Builder
        After `build`. Files that it was not asked for are left out.
    """
    for path, complete in ((builder.csr_json, complete_json), (builder.csr_csv, complete_csv),
            (builder.csr_svd, complete_svd)):
        if path is not None:
            path = Path(path)
            path.write_text(complete(path.read_text(encoding="utf-8"), builder.soc), encoding="utf-8")
