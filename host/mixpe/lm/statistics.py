# SPDX-License-Identifier: BSD-2-Clause
"""What a generation cost: time on host and device, bytes over the link, device cycles.

A device says what it can: ``link_bytes()`` gives ``sent`` and ``received`` since it was opened, ``counters()`` whole
numbers by name, ``cycles`` among them. What a device does not offer stays None, and reports say so.
"""

import dataclasses
import time
from dataclasses import dataclass

from mixpe.terminal import table


def _ask(device, method):
    """What a device's method tells, as dict of name → int; None if it has none."""
    read = getattr(device, method, None)
    return None if read is None else {name: int(value) for name, value in read().items()}


@dataclass(frozen=True)
class Snapshot:
    """State of clocks and counters at one moment."""

    time_s:   float
    linear_s: float
    counters: dict | None
    link:     dict | None

    @classmethod
    def take(cls, model):
        return cls(time.perf_counter(), model.computing_s,
                   _ask(model.device, "counters"), _ask(model.device, "link_bytes"))


def _growth(first, last):
    return None if first is None or last is None else {name: value - first.get(name, 0) for name, value in last.items()}


@dataclass(frozen=True)
class Phase:
    """Cost of one phase of a generation.

    Attributes
    ----------
    tokens : int
        Tokens that passed through the model: the prompt, or one for each further byte.
    seconds : float
        Wall time.
    linear_s : float
        Share of it in the linear layers: device, link and quantisation of activations (or the host's float32). With a
        decoder on the device: in its runs.
    sent_bytes, received_bytes : int or None
        Over the link.
    counters : dict of name → int, or None
        Growth of the device's counters.
    """

    tokens:         int
    seconds:        float
    linear_s:       float
    sent_bytes:     int | None
    received_bytes: int | None
    counters:       dict | None

    @classmethod
    def between(cls, tokens, first, last):
        link = _growth(first.link, last.link) or {}
        return cls(tokens, last.time_s - first.time_s, last.linear_s - first.linear_s, link.get("sent"),
                   link.get("received"), _growth(first.counters, last.counters))

    @property
    def host_s(self):
        """Wall time outside the linear layers."""
        return self.seconds - self.linear_s

    @property
    def link_bytes(self):
        """Bytes both ways, or None."""
        return None if self.sent_bytes is None else self.sent_bytes + self.received_bytes

    @property
    def cycles(self):
        """Device cycles, or None; 0 from a device without a clock."""
        return None if self.counters is None else self.counters.get("cycles")

    @property
    def busy_cycles(self):
        """Cycles in which the array worked, or None."""
        return None if self.counters is None else self.counters.get("busy")


@dataclass(frozen=True)
class Statistics:
    """Cost of a generation: the prompt as rows of one GEMM a layer, then one row for each further token.

    Attributes
    ----------
    generated : int
        Tokens made. The first comes from the prompt's pass, so `decode` has one token fewer.
    prefill, decode : Phase
    """

    generated: int
    prefill:   Phase
    decode:    Phase

    def to_dict(self):
        """For JSON; unknown figures are None."""
        return dataclasses.asdict(self)

    def table(self):
        """Aligned text, one figure a line; what the device does not report is said to be so."""
        return table(("", "prompt", "text"), [(label, _cell(self.prefill, name), _cell(self.decode, name))
            for label, name in self._figures()], "<>>")

    def _figures(self):
        """Labels and names of what there is to say."""
        decoder = "busy_vector" in (self.decode.counters or ())
        for label, name in _FIGURES:
            yield ("  on the device, and link" if decoder and name == "linear_s" else label), name
        if decoder:
            yield from _ENGINES


_FIGURES = (
    ("tokens",                     "tokens"),
    ("ms a token",                 "seconds"),
    ("  linear layers",            "linear_s"),
    ("  other work on the host",   "host_s"),
    ("bytes to device a token",    "sent_bytes"),
    ("bytes from device a token",  "received_bytes"),
    ("device cycles a token",      "cycles"),
    ("  array busy",               "busy_cycles"),
)


_ENGINES = (
    ("  vector engine busy",       "busy_vector"),
    ("  attention engine busy",    "busy_attention"),
)


def _cell(phase, name):
    value = getattr(phase, name) if hasattr(phase, name) else (phase.counters or {}).get(name)
    if value is None or (name in ("cycles", "busy_cycles") and not phase.cycles):
        return "not reported"
    if name == "tokens":
        return str(value)
    if not phase.tokens:
        return "-"
    value /= phase.tokens
    return f"{1000 * value:.2f}" if name.endswith("_s") or name == "seconds" else f"{value:,.0f}"
