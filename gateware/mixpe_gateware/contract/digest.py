# SPDX-License-Identifier: BSD-2-Clause
"""Version and digest of the contract: what a bitstream and a driver compare before they trust each other.

The digest covers what could make the two sides disagree: registers and descriptor with their fields and effects,
counters, the codes of jobs, and by golden vectors the layout and the arithmetic. It does not cover texts, nor which
processing elements there are, since all of them give the same results. An optional part (`config.OPTIONAL_PARTS`) is in
the digest of builds that have it and in no other, since it adds to the rest and changes nothing of it.
"""

import hashlib
import json
from functools import cache

from mixpe_gateware.contract import descriptor, registers
from mixpe_gateware.contract.golden import golden_vectors
from mixpe_gateware.contract.jobs import JobCode

VERSION = 3  # of the contract; counts up when registers, descriptor, layout or arithmetic change


def compute_digest(parts=()):
    """64-bit digest of everything that gateware and driver must agree on, as the tables stand now.

    Parameters
    ----------
    parts : tuple of str
        Optional parts that the build has, `Config.parts`.
    """
    def fields(word):
        return [[field.name, field.lsb, field.width] for field in word.fields_of(parts)]

    contract = {
        "version":    VERSION,
        "banks":      [registers.CSR_PAGE_BYTES, registers.COUNTER_OFFSET],
        "registers":  [[register.name, registers.OFFSETS[register.name], register.access, register.effect.name,
            fields(register)] for register in registers.registers_of(parts)],
        "counters":   list(registers.counters_of(parts)),
        "descriptor": [[word.name, fields(word)] for word in descriptor.WORDS],
        "codes":      [[code.name, code.value] for code in JobCode
            if not code.part or code.part in parts],
        "golden":     {name: hashlib.sha256(data).hexdigest() for name, data in golden_vectors(parts)},
    }
    text = json.dumps(contract, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@cache
def digest(parts=()):
    """`compute_digest`, once a process."""
    return compute_digest(parts)
