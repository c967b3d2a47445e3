# SPDX-License-Identifier: BSD-2-Clause
"""Find the accelerator's registers on a bus: at the CSR bases of LiteX's SoCs, then at round addresses, for a while.

What is not there costs a bus its time limit, a million cycles as LiteX has it, so the search is short.
"""

import time

from mixpe_gateware.contract.errors import LinkTimeout, NotMixpeError
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, MAGIC

SEARCH_S   = 2.0
CPU_BASES  = (0xA0000000, 0x12000000, 0xC8000000, 0x80000000, 0x58000000, 0xE8000000)  # of LiteX's rarer CPUs
ROUND_BITS = 24  # the search ends at multiples of 16 MiB
OFFSET     = CSR_BANK*CSR_PAGE_BYTES  # of the accelerator's registers from the CSR base


def likely_bases():
    """CSR bases in the order in which they are tried after `CSR_BASES`: list of int."""
    grid = sorted(range(0, 1 << 32, 1 << ROUND_BITS), key=lambda base: -(base & -base))  # the roundest first
    return [base for base in dict.fromkeys([*CPU_BASES, *grid]) if base not in CSR_BASES]


def is_mixpe(read, csr_base=None):
    """Whether an accelerator answers at the usual place, or at `csr_base`: ``read(addr)`` gives a word, or None."""
    return read((CSR_BASES[0] if csr_base is None else csr_base) + OFFSET) == MAGIC


def find_registers(link, url, csr_base=None):
    """Address of the accelerator's registers.

    Parameters
    ----------
    link : mixpe.link.Link
    url : str
        For messages.
    csr_base : int, optional
        Of the SoC's CSRs: then nothing else is tried.

    Raises
    ------
    NotMixpeError
        Something answers, and the registers are at none of the places.
    LinkTimeout, LinkError
        Nobody answers.
    """
    end  = time.monotonic() + SEARCH_S
    seen = []
    for base in CSR_BASES if csr_base is None else (csr_base,):
        word = link.read_word(base + OFFSET)
        if word == MAGIC:
            return base + OFFSET
        seen.append(f"0x{base + OFFSET:08x}: 0x{word:08x}")
    if csr_base is not None:
        raise NotMixpeError(f"no mixpe device at csr_base={csr_base:#x} of {url}: no 0x{MAGIC:08x} in its registers "
            f"({seen[0]}); {_where()}")
    tried = 0
    for base in likely_bases():
        if time.monotonic() > end:
            break
        try:
            if link.read_word(base + OFFSET, retry=False) == MAGIC:
                return base + OFFSET
        except LinkTimeout:
            break  # a bus without a time limit: no more of this
        tried += 1
    raise NotMixpeError(f"what answers at {url} is no mixpe device, or its registers are at an unusual place: no "
        f"0x{MAGIC:08x} in {', '.join(seen)}, and at {tried} other places; where the SoC's CSRs begin elsewhere, add "
        f"{'&' if '?' in url else '?'}csr_base=0x… to the URL; {_where()}")


def _where():
    """Where a user reads the base."""
    return (f"it is in the csr.csv of the SoC's build, in the line memory_region,csr (and 0x{OFFSET:x} below the line "
            "csr_base,mixpe)")
