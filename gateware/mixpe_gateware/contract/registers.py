# SPDX-License-Identifier: BSD-2-Clause
"""Register table: one 32-bit word each, contiguous, in this order, at the accelerator's CSR bank; counters in another.

The gateware makes its CSRs from this table and the driver its offsets, so they cannot differ. The digest of the table,
the packed layout and the arithmetic is in the first registers; a driver refuses a device whose digest it does not know.
"""

import hashlib
import json
from dataclasses import dataclass

from mixpe_gateware.contract import config as config_spec
from mixpe_gateware.contract import jobs as job_spec

MAGIC   = 0x4D585045  # "MXPE"
VERSION = 2           # of this contract; counts up when registers, packing or arithmetic change

CSR_PAGE_BYTES = 0x800   # distance between the banks of LiteX's CSR bus
CSR_BANK       = 16      # bank of the accelerator: its registers start at CSR base + 16·0x800
CSR_BASES      = (0xF0000000, 0xE0000000, 0x82000000, 0x00000000)  # CSR bases of LiteX SoCs, the usual first

# Bits of `features`.
FEATURE_FUSED = 1 << 0

# Bits of `control`, each a strobe.
CONTROL_RESET    = 1 << 0  # abort the running job and the queued ones (each ends with JobCode.ABORTED), clear `overrun`
CONTROL_COUNTERS = 1 << 1  # set all counters to zero
CONTROL_LATCH    = 1 << 2  # copy the counters to their registers, all in one cycle

# Bits of `status`.
STATUS_BUSY      = 1 << 0  # a job is queued or running
STATUS_OVERRUN   = 1 << 1  # a job was posted to a full queue and dropped
STATUS_CHECKSUM  = 1 << 2  # the checksum unit is running
STATUS_READY     = 1 << 3  # the memory is initialised
STATUS_LATCHING  = 1 << 4  # the counters are being copied or cleared: their words are not to be read yet
STATUS_LEVEL_LSB = 8       # jobs posted and not yet collected, 8 bits
STATUS_DONE_LSB  = 16      # jobs ended and not yet collected, 8 bits


@dataclass(frozen=True)
class Register:
    """One word. `access` is ``ro``, ``rw`` or ``wo``, seen from the host; ``wo`` reads as zero."""

    name: str
    access: str
    text: str


IDENTITY = (
    Register("magic",        "ro", "0x4D585045, 'MXPE'"),
    Register("version",      "ro", "version of the contract"),
    Register("digest_low",   "ro", "digest of the contract, bits 31 … 0"),
    Register("digest_high",  "ro", "digest of the contract, bits 63 … 32"),
    Register("clock_hz",     "ro", "system clock in Hz"),
    Register("rows",         "ro", "R, activation rows of the array"),
    Register("port_bits",    "ro", "width of a beat; lanes D = port_bits/4"),
    Register("k_max",        "ro", "activations per row in one on-chip buffer"),
    Register("buffer_beats", "ro", "depth of the weight buffer in beats"),
    Register("queue_depth",  "ro", "jobs that can be posted before one is collected"),
    Register("features",     "ro", "bit 0: fused mode"),
    Register("scalers",      "ro", "scale-accumulate units"),
    Register("read_ports",   "ro", "memory ports of the weight stream"),
    Register("pe",           "ro", "index of the processing element in PE_KINDS"),
    Register("memory_bits",  "ro", "width of the memory controller's port"),
    Register("mem_base",     "ro", "bus address of the memory's first byte"),
    Register("mem_bytes",    "ro", "size of the memory in bytes"),
    Register("inbox_base",   "ro", "bus address of the inbox's first byte; jobs find it behind the memory"),
    Register("inbox_bytes",  "ro", "size of the inbox in bytes, 0 without one"),
)

CONTROL = (
    Register("control",      "rw", "strobes: bit 0 reset, bit 1 clear the counters, bit 2 latch the counters"),
    Register("status",       "ro", "0 busy, 1 overrun, 2 checksum running, 3 memory ready, 4 counters being latched, "
                                   "15:8 posted, 23:16 ended"),
    Register("scratch",      "rw", "for link tests"),
)

# Words of `Job.words`, in order; writing the last one posts the job.
JOB = (
    Register("job_weights_addr", "wo", "byte offset of the weight stream in the memory"),
    Register("job_act_addr",     "wo", "byte offset of the activations"),
    Register("job_out_addr",     "wo", "byte offset of the result buffer"),
    Register("job_n",            "wo", "output channels"),
    Register("job_k",            "wo", "reduction length"),
    Register("job_m",            "wo", "activation rows"),
    Register("job_flags",        "wo", "2:0 group code, 3 planes, 4 fused, 5 wide, 6 shift"),
    Register("job_out_bytes",    "wo", "size of the result buffer"),
    Register("job_tag",          "wo", "any value; returned with the result. Writing it posts the job"),
)

# Folding of the words as they were written, in order: `fold_words`. A descriptor that the link damaged shows here.
JOB_CHECK = (
    Register("job_check",        "ro", "check word of the job registers as they were last written"),
)

DONE = (
    Register("done_tag",         "ro", "tag of the oldest ended job that is not collected"),
    Register("done_code",        "ro", "its JobCode; valid while status shows an ended job"),
    Register("done_cycles",      "ro", "cycles from its first check to its last result in memory"),
    Register("done_collect",     "wo", "writing the oldest ended job's tag collects it; another value does nothing"),
)

COUNTERS = ("cycles", "busy", "wait_weights", "wait_results", "beats_in", "beats_out", "jobs", "errors")
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

CHECKSUM = (
    Register("checksum_addr",  "wo", "byte offset of the region, a multiple of the beat"),
    Register("checksum_bytes", "wo", "size of the region, a multiple of the beat. Writing it starts the unit"),
    Register("checksum_value", "ro", "CRC-32 (as zlib.crc32) of the region when status shows the unit idle"),
)

# A bare memory reader for measurements, in simulated SoCs that are built with it; in a bank of its own.
PROBE_BANK = CSR_BANK + 1
PROBE = (
    Register("beats",   "rw", "beats to read from address 0 on. Writing it starts the reader"),
    Register("running", "ro", "1 while it reads"),
    Register("cycles",  "ro", "cycles from the first request to the last answer"),
)


REGISTERS = IDENTITY + CONTROL + JOB + JOB_CHECK + DONE + CHECKSUM
OFFSETS = {register.name: 4*index for index, register in enumerate(REGISTERS)}

# Counters as of the last latch, in a bank of their own: low and high word of each, in the order of COUNTERS.
COUNTER_BANK   = CSR_BANK + 2
COUNTER_OFFSET = (COUNTER_BANK - CSR_BANK)*CSR_PAGE_BYTES  # from the accelerator's registers


def fold_words(words):
    """Check word of a descriptor: each word turns the sum left by one bit and is XORed to it; the first starts anew."""
    value = 0
    for word in words:
        value = ((value << 1 | value >> 31) & 0xFFFFFFFF) ^ word
    return value


def digest():
    """64-bit digest of everything that gateware and driver must agree on."""
    contract = {
        "version":   VERSION,
        "registers": [[register.name, register.access] for register in REGISTERS],
        "counters":  [COUNTER_BANK, list(COUNTERS)],
        "bits":      [CONTROL_RESET, CONTROL_COUNTERS, CONTROL_LATCH, STATUS_BUSY, STATUS_OVERRUN, STATUS_CHECKSUM,
            STATUS_READY, STATUS_LATCHING, STATUS_LEVEL_LSB, STATUS_DONE_LSB, FEATURE_FUSED],
        "layout":    [config_spec.CHANNELS_PER_BLOCK, list(config_spec.GROUP_SIZES), list(config_spec.PE_KINDS)],
        "jobs":      [job_spec.GROUP_CODE_K, job_spec.FLAG_PLANES, job_spec.FLAG_FUSED, job_spec.FLAG_WIDE,
            job_spec.FLAG_SHIFT, job_spec.SHIFT_LIMIT, [[code.name, code.value] for code in job_spec.JobCode]],
    }
    text = json.dumps(contract, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def identity_values(config, *, clock_hz, mem_base, mem_bytes, inbox_base=0):
    """Values of the identity registers of one build, by name."""
    value = digest()
    return {
        "magic":        MAGIC,
        "version":      VERSION,
        "digest_low":   value & 0xFFFFFFFF,
        "digest_high":  value >> 32,
        "clock_hz":     int(clock_hz),
        "rows":         config.rows,
        "port_bits":    config.port_bits,
        "k_max":        config.k_max,
        "buffer_beats": config.buffer_beats,
        "queue_depth":  config.queue_depth,
        "features":     FEATURE_FUSED if config.fused else 0,
        "scalers":      config.scalers,
        "read_ports":   config.read_ports,
        "pe":           config_spec.PE_KINDS.index(config.pe),
        "memory_bits":  config.memory_bits,
        "mem_base":     mem_base,
        "mem_bytes":    mem_bytes,
        "inbox_base":   inbox_base,
        "inbox_bytes":  config.inbox_bytes,
    }


def config_from_identity(values):
    """Configuration of a device from its identity registers."""
    kinds = config_spec.PE_KINDS
    return config_spec.Config(rows=values["rows"], port_bits=values["port_bits"], k_max=values["k_max"],
        buffer_beats=values["buffer_beats"], queue_depth=values["queue_depth"],
        fused=bool(values["features"] & FEATURE_FUSED), scalers=values["scalers"], read_ports=values["read_ports"],
        pe=kinds[values["pe"]] if values["pe"] < len(kinds) else values["pe"], memory_bits=values["memory_bits"],
        inbox_bytes=values["inbox_bytes"])
