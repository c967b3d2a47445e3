# SPDX-License-Identifier: BSD-2-Clause
"""Register table: one 32-bit word each, contiguous, in this order, at the accelerator's CSR bank; counters in another.

The gateware makes its CSRs from this table, and driver and reference device take offsets, fields and effects from it:
they cannot differ. The identity registers follow from `contract.config`, the job registers from `contract.descriptor`.
"""

from dataclasses import dataclass
from enum import Enum

from mixpe_gateware.contract.config import OPTIONAL_PARTS, PARAMETERS
from mixpe_gateware.contract.descriptor import POST, WORDS
from mixpe_gateware.contract.fields import Field, WithFields, of_parts
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.run import RUN_RECORD, RUN_TOKENS

MAGIC = 0x4D585045  # "MXPE"

CSR_PAGE_BYTES = 0x800   # distance between the banks of LiteX's CSR bus
CSR_BANK       = 16      # bank of the accelerator: its registers start at CSR base + 16·0x800
CSR_BASES      = (0xF0000000, 0xE0000000, 0x82000000, 0x00000000)  # CSR bases of LiteX SoCs, the usual first

ACCESS = {"ro": "read-only", "rw": "read-write", "wo": "write-only, reads as zero"}  # as the host sees it


class Effect(Enum):
    """What writing a register does."""

    NONE    = ""
    STROBE  = "each bit that is 1 acts once"
    WORD    = "a word of the next descriptor"
    POST    = "the last word of the next descriptor: posts the job"
    COLLECT = "collects the oldest ended job if this is its tag; else nothing"
    CHECK   = "starts the checksum unit"


@dataclass(frozen=True)
class Register(WithFields):
    """One word. `access` is one of ACCESS; `part` the optional part whose builds have it, or empty."""

    name: str
    access: str
    text: str
    fields: tuple = ()
    effect: Effect = Effect.NONE
    part: str = ""


def _config_registers():
    """One for each number or name of `Config`; its flags share one, which stands where the first of them does.

    Those of optional parts come last, so that they stand behind all others in the table.
    """
    flags = [each for each in PARAMETERS if each.is_flag]
    for each in sorted(PARAMETERS, key=lambda each: each.part != ""):
        if not each.is_flag:
            yield Register(each.name, "ro", each.brief, part=each.part)
        elif each == flags[0]:
            yield Register("features", "ro", "what is built", tuple(
                Field(flag.name, bit, 1, flag.brief, part=flag.name if flag.name in OPTIONAL_PARTS else "")
                for bit, flag in enumerate(flags)))


_CONFIG = tuple(_config_registers())

# All builds have these, first in the table; then those of optional parts, which stand at its end.
IDENTITY = (
    Register("magic",        "ro", f"0x{MAGIC:08X}, 'MXPE'"),
    Register("version",      "ro", "version of the contract"),
    Register("digest_low",   "ro", "digest of the contract, bits 31 … 0"),
    Register("digest_high",  "ro", "digest of the contract, bits 63 … 32"),
    Register("clock_hz",     "ro", "system clock in Hz"),
    *(register for register in _CONFIG if not register.part),
    Register("mem_base",     "ro", "bus address of the memory's first byte"),
    Register("mem_bytes",    "ro", "size of the memory in bytes"),
    Register("inbox_base",   "ro", "bus address of the inbox's first byte; jobs find it behind the memory"),
)
OPTIONAL_IDENTITY = tuple(register for register in _CONFIG if register.part)

CONTROL = Register("control", "wo", "strobes", (
    Field("reset",    0, 1, "abort the running job and the queued ones (each ends with ABORTED), clear `overrun`"),
    Field("counters", 1, 1, "set all counters to zero"),
    Field("latch",    2, 1, "copy the counters to their registers, all in one cycle"),
), Effect.STROBE)

STATUS = Register("status", "ro", "what goes on", (
    Field("busy",     0,  1, "a job is queued or running"),
    Field("overrun",  1,  1, "a job was posted to a full queue and dropped"),
    Field("checksum", 2,  1, "the checksum unit is running"),
    Field("ready",    3,  1, "the memory is initialised"),
    Field("latching", 4,  1, "the counters are being copied or cleared: their words are not to be read yet"),
    Field("posted",   8,  8, "jobs posted and not yet collected"),
    Field("ended",    16, 8, "jobs ended and not yet collected"),
))

# The words of a descriptor in order, and their folding as they were written, `descriptor.fold_words`: a descriptor that
# the link damaged shows there.
JOB = tuple(Register(f"job_{word.name}", "wo", word.text, word.fields, Effect.POST if index == POST else Effect.WORD)
    for index, word in enumerate(WORDS))
JOB_CHECK = Register("job_check", "ro", "check word of the job registers as they were last written")

DONE = (
    Register("done_tag",     "ro", "tag of the oldest ended job that is not collected"),
    Register("done_code",    "ro", "how it ended; valid while status shows an ended job", (
        Field("code", 0, 4, "its JobCode", tuple((code.value, code.name) for code in JobCode)),
    )),
    Register("done_cycles",  "ro", "cycles from its first check to its last result in memory"),
    Register("done_collect", "wo", "tag of the job to collect", effect=Effect.COLLECT),
)

CHECKSUM = (
    Register("checksum_addr",  "wo", "byte offset of the region, a multiple of the beat"),
    Register("checksum_bytes", "wo", "size of the region, a multiple of the beat", effect=Effect.CHECK),
    Register("checksum_value", "ro", "CRC-32 (as zlib.crc32) of the region when status shows the unit idle"),
)

RUN = (
    Register(RUN_TOKENS, "ro", "passes of the last run that were completed", part="decoder"),
    Register(RUN_RECORD, "ro", "record of the next pass that ended the run, or that was the oldest one begun; else 0",
        part="decoder"),
)

REGISTERS = (*IDENTITY, CONTROL, STATUS, Register("scratch", "rw", "for link tests"), *JOB, JOB_CHECK, *DONE, *CHECKSUM,
    *OPTIONAL_IDENTITY, *RUN)
OFFSETS   = {register.name: 4*index for index, register in enumerate(REGISTERS)}


def registers_of(parts):
    """The registers of builds with these optional parts, in the order of the table: tuple of Register."""
    return of_parts(REGISTERS, parts)


# Names of bits and fields for those who read and write them.
CONTROL_RESET, CONTROL_COUNTERS, CONTROL_LATCH = (CONTROL.field(name).mask for name in ("reset", "counters", "latch"))
STATUS_OVERRUN, STATUS_CHECKSUM, STATUS_READY, STATUS_LATCHING = (STATUS.field(name).mask for name in
    ("overrun", "checksum", "ready", "latching"))
STATUS_POSTED, STATUS_ENDED = STATUS.field("posted"), STATUS.field("ended")

# Counters as of the last latch, in a bank of their own: low and high word of each, in this order.
COUNTER_TEXT = {
    "cycles":       "clock cycles while a job was queued or running",
    "busy":         "cycles in which the array took a beat of weights",
    "wait_weights": "cycles in which a running array had no weights",
    "wait_results": "cycles in which the array waited for results to be taken",
    "beats_in":     "beats read from memory (weights, scales, zeros, activations)",
    "beats_out":    "beats written to memory",
    "jobs":         "jobs ended",
    "errors":       "jobs ended with an error, and jobs dropped by a full queue",
}
# And behind these in builds with an optional part.
OPTIONAL_COUNTER_TEXT = {"decoder": {
    "busy_vector":    "cycles in which the vector engine had a record",
    "busy_attention": "cycles in which the attention engine had a record",
    "wait_fence":     "cycles in which a record of a program waited for records before it",
    "wait_record":    "cycles in which no record of a running program was ready",
    "records":        "records of programs that ended",
}}
COUNTERS       = tuple(COUNTER_TEXT)
COUNTER_BANK   = CSR_BANK + 2
COUNTER_OFFSET = (COUNTER_BANK - CSR_BANK)*CSR_PAGE_BYTES  # from the accelerator's registers


def counters_of(parts):
    """Names of the counters of builds with these optional parts, in order: tuple of str."""
    return (*COUNTERS, *(name for part in parts for name in OPTIONAL_COUNTER_TEXT.get(part, ())))


# A bare memory reader for measurements, in simulated SoCs that are built with it; in a bank of its own.
PROBE_BANK = CSR_BANK + 1
PROBE = (
    Register("beats",   "rw", "beats to read from address 0 on. Writing it starts the reader"),
    Register("running", "ro", "1 while it reads"),
    Register("cycles",  "ro", "cycles from the first request to the last answer"),
)
