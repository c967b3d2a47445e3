# SPDX-License-Identifier: BSD-2-Clause
"""Shape and capacities of one accelerator.

A parameter is one entry of `Config`: what it means, what it may be, and its default. Its identity register, how a value
travels in it, the check, the option of device URLs and the documentation follow from that.
"""

import re
from dataclasses import asdict, dataclass, field, fields

from mixpe_gateware.contract.errors import ConfigError

PORT_BITS = (16, 32, 64, 128)        # widths of a LiteDRAM native port that the stream supports
GROUP_SIZES = (32, 64, 128, 256)     # weights that share a scale and a zero point; or k itself
GROUP_MIN = GROUP_SIZES[0]
CHANNELS_PER_BLOCK = 8               # output channels whose scales and zeros travel together in front of their weights
K_LIMIT = 16384                      # longest reduction of one job
N_LIMIT = 65536                      # most output channels of one job
INBOX_LIMIT = 1 << 20                # largest inbox in bytes
SHIFT_LIMIT = 15                     # largest alignment shift
CONTEXT_LIMIT = 1 << 15              # most positions that attention sees: its sums have 40 bits
HEAD_LIMIT = 256                     # most elements of a decoder's head

# Processing elements; all give the same results. Devices name theirs by the index, so new ones are added at the end.
PE_KINDS = ("shift-add", "bitplane", "dense")
UNKNOWN_PE = "unknown-"              # and the index, of a device that is newer than this table

# Flags whose part of the contract concerns only builds that have them: see `contract.digest`.
OPTIONAL_PARTS = ("minima", "decoder")


def _is_power(value, low, high):
    return isinstance(value, int) and low <= value <= high and value & (value - 1) == 0


def _is_element(value):
    return value in PE_KINDS or (isinstance(value, str) and value.startswith(UNKNOWN_PE)
        and value.removeprefix(UNKNOWN_PE).isdecimal())


def _parameter(default, text, must, valid, derived=None, part=""):
    """An entry of `Config`.

    Parameters
    ----------
    default : int, str, bool or None
        A bool makes it a flag, which is a bit of the identity register `features`; a str a name of PE_KINDS.
    text : str
        What it is, for people; the identity register has the first sentence.
    must : str
        What would be right, for the message of an error; a value of another entry stands in braces.
    valid : callable
        (config, value) → bool
    derived : callable, optional
        config → value where none is given; of entries in front of it, which are good by then.
    part : str
        The optional part that it belongs to; builds without it have no register for it.
    """
    return field(default=default, metadata={"text": text, "must": must, "valid": valid, "derived": derived,
        "part": part})


@dataclass(frozen=True, kw_only=True)
class Config:
    """Parameters of the accelerator; everything else in hardware and driver is derived from them.

    Raises
    ------
    ConfigError
        A value that cannot be built; the message says which would be right.
    """

    rows: int = _parameter(8,
        "R, activation rows of the array: tokens of A8, half as many of A16.",
        "a power of two from 1 to 64",
        lambda _config, value: _is_power(value, 1, 64))
    port_bits: int = _parameter(128,
        "Width of a beat; it carries D = port_bits/4 weights, one a lane.",
        f"one of {PORT_BITS}",
        lambda _config, value: value in PORT_BITS)
    k_max: int = _parameter(K_LIMIT,
        "Activations per row in one on-chip buffer. There are two. A job of m rows needs ceil(m/R)·k of them; one that "
        "needs more takes both, so that its activations cannot arrive while the job before runs. A longer reduction is "
        "tiled by the host.",
        f"a power of two from 512 to {K_LIMIT}",
        lambda _config, value: _is_power(value, 512, K_LIMIT))
    buffer_beats: int = _parameter(1024,
        "Depth of the weight buffer in beats. Prefill replays a channel from it: k/lanes must fit.",
        "a power of two from 64 to 16384",
        lambda _config, value: _is_power(value, 64, 16384))
    queue_depth: int = _parameter(16,
        "Jobs that can be posted before one is collected. Two builds everything shallow, for FPGAs without LUT RAM: "
        "one job at a time is in the stages, and results wait in few registers.",
        "a power of two from 2 to 64",
        lambda _config, value: _is_power(value, 2, 64))
    fused: bool = _parameter(True,
        "The scale-accumulate is built: results as FP32. Partial sums are always there.",
        "True or False",
        lambda _config, value: value in (True, False))
    scalers: int | None = _parameter(None,
        "Scale-accumulate units, by default rows·lanes/32, at least one and at most rows. The rows/scalers results of "
        "a group must fit in G/lanes cycles, to keep the array busy: with the default those of the shortest groups do.",
        "a power of two that divides rows={rows}",
        lambda config, value: _is_power(value, 1, config.rows),
        lambda config: min(config.rows, max(1, config.rows*config.lanes//GROUP_MIN)))
    read_ports: int = _parameter(1,
        "Memory ports of the weight stream. It alternates between them, one DRAM row each.",
        "1, 2 or 4",
        lambda _config, value: value in (1, 2, 4))
    pe: str = _parameter("shift-add",
        "Processing element. As published, with gates folded into the first adders, or with signed digits over stored "
        "sums and differences of pairs; equal results.",
        "one of {PE_KINDS}",
        lambda _config, value: _is_element(value))
    memory_bits: int | None = _parameter(None,
        "Width of the memory controller's port, by default a beat's. A beat is gathered from port_bits/memory_bits of "
        "its words: prefill, which replays weights from the buffer, gets the wider array.",
        f"one of {PORT_BITS} and at most port_bits={{port_bits}}",
        lambda config, value: value in PORT_BITS and value <= config.port_bits,
        lambda config: config.port_bits)
    inbox_bytes: int = _parameter(0,
        "Size of the inbox in bytes, 0 without one. It is on-chip memory that the host writes activations to; without "
        "one they pass through the memory. Two images of one token's activations let one arrive while the other is "
        "used.",
        f"0 or a power of two from 1024 to {INBOX_LIMIT}",
        lambda _config, value: value == 0 or _is_power(value, 1024, INBOX_LIMIT))
    minima: bool = _parameter(False,
        "Real minima and two-level scales are built (Q4_1, Q5_1, Q4_K, Q5_K). They are for fused results.",
        "True or False, and False without fused={fused}",
        lambda config, value: value in (True, False) and (config.fused or not value))
    decoder: bool = _parameter(False,
        "The decoder is built: vector and attention engines and a sequencer for programs.",
        "True or False, and False without fused={fused}",
        lambda config, value: value in (True, False) and (config.fused or not value))
    attention_heads: int = _parameter(4,
        "Query heads of a key-value head that attention computes side by side; more take several passes.",
        "1, 2, 3, 4, 6 or 8",
        lambda _config, value: value in (1, 2, 3, 4, 6, 8), part="decoder")
    attention_lanes: int | None = _parameter(None,
        "Elements of keys or values that attention takes a cycle, by default those of a beat. Fewer are for boards "
        "whose memory does not bring a beat every cycle, or that lack room.",
        "a power of two from 2 on and at most an eighth of port_bits={port_bits}",
        lambda config, value: _is_power(value, 2, config.beat_bytes),
        lambda config: config.beat_bytes, part="decoder")
    context_max: int = _parameter(2048,
        "Positions whose scores attention can keep, the most of one session.",
        f"a power of two from 64 to {CONTEXT_LIMIT}",
        lambda _config, value: _is_power(value, 64, CONTEXT_LIMIT), part="decoder")
    head_max: int = _parameter(HEAD_LIMIT,
        "Elements of a head at most. Attention keeps queries and sums of one position of so many on the chip.",
        f"a power of two from 32 to {HEAD_LIMIT}",
        lambda _config, value: _is_power(value, 32, HEAD_LIMIT), part="decoder")

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if value is None and each.metadata["derived"] is not None:
                value = each.metadata["derived"](self)
                object.__setattr__(self, each.name, value)
            if not each.metadata["valid"](self, value):
                must = each.metadata["must"].format(PE_KINDS=PE_KINDS, **vars(self))
                raise ConfigError(f"{each.name} must be {must}, not {value!r}")

    @property
    def lanes(self):
        """D, weights of one beat."""
        return self.port_bits//4

    @property
    def beat_bytes(self):
        return self.port_bits//8

    @property
    def words_per_beat(self):
        """Words of the memory's port in a beat."""
        return self.port_bits//self.memory_bits

    @property
    def is_shallow(self):
        """Whether FIFOs are to be as small as they can be."""
        return self.queue_depth == 2

    @property
    def parts(self):
        """Optional parts of the contract that this build has: tuple of names."""
        return tuple(name for name in OPTIONAL_PARTS if getattr(self, name))

    @property
    def inbox_bits(self):
        """Address bits that the inbox behind the memory adds: 1 or 0."""
        return 1 if self.inbox_bytes else 0

    @property
    def act_words(self):
        """Depth of one activation buffer, in words of D activations a row."""
        return self.k_max//self.lanes

    @property
    def groups_max(self):
        """Most (tile, group) pairs of one job: entries of the row-sum and scale memories."""
        return self.k_max//GROUP_MIN

    @property
    def name(self):
        """Short name for files and reports, for instance ``8x32``."""
        return f"{self.rows}x{self.lanes}"

    def to_dict(self):
        return asdict(self)


@dataclass(frozen=True)
class Parameter:
    """What tables need of an entry of `Config`: a number, a flag, or a name of PE_KINDS."""

    name: str
    default: object
    text: str
    must: str        # for people: without the values of others
    part: str = ""   # optional part whose builds have a register for it

    @property
    def is_flag(self):
        return isinstance(self.default, bool)

    @property
    def is_name(self):
        return isinstance(self.default, str)

    @property
    def brief(self):
        """First sentence of the text, without its full stop."""
        return self.text.partition(". ")[0].rstrip(".")

    def encode(self, config):
        """Value in the identity register."""
        value = getattr(config, self.name)
        if not self.is_name:
            return int(value)
        return PE_KINDS.index(value) if value in PE_KINDS else int(value.removeprefix(UNKNOWN_PE))

    def decode(self, word):
        """Value of the identity register; an element that PE_KINDS has not is ``unknown-`` and its index."""
        if self.is_flag:
            return bool(word)
        if self.is_name:
            return PE_KINDS[word] if word < len(PE_KINDS) else f"{UNKNOWN_PE}{word}"
        return word


PARAMETERS = tuple(Parameter(each.name, each.default, each.metadata["text"],
    re.sub("={.*}", "", each.metadata["must"]).format(PE_KINDS=PE_KINDS), each.metadata["part"])
    for each in fields(Config))
