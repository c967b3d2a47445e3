# SPDX-License-Identifier: BSD-2-Clause
"""What a generation cost: time on host and device, bytes over the link, device cycles.

A device says what it can: ``link_bytes()`` gives (sent, received) since it was opened, ``counters()`` a mapping or
record of whole numbers with ``cycles`` among them. What a device does not offer stays None, and reports say so.
"""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass

from mixpe.errors import RangeError


def _counters(device):
    """Counters of a device as dict of name → int, or None if it has none."""
    read = getattr(device, "counters", None)
    if read is None:
        return None
    values = read()
    if dataclasses.is_dataclass(values):
        values = dataclasses.asdict(values)
    elif hasattr(values, "_asdict"):
        values = values._asdict()
    if not isinstance(values, Mapping):
        return None
    return {name: int(value) for name, value in values.items() if isinstance(value, int)}


def _link_bytes(device):
    """(sent, received) of a device, or None if it does not count them."""
    read = getattr(device, "link_bytes", None)
    values = read() if read is not None else None
    return tuple(int(v) for v in values) if values is not None else None


@dataclass(frozen=True)
class Snapshot:
    """State of clocks and counters at one moment."""

    time_s:   float
    linear_s: float
    counters: dict | None
    link:     tuple | None

    @classmethod
    def take(cls, model):
        return cls(time.perf_counter(), sum(job.seconds for job in model.jobs.values()),
                   _counters(model.device), _link_bytes(model.device))


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
        Share of it in the linear layers: device, link and quantisation of activations (or the host's float32).
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
        counters = None
        if first.counters is not None and last.counters is not None:
            counters = {name: value - first.counters.get(name, 0) for name, value in last.counters.items()}
        sent, received = (None, None)
        if first.link is not None and last.link is not None:
            sent, received = (after - before for before, after in zip(first.link, last.link, strict=True))
        return cls(tokens, last.time_s - first.time_s, last.linear_s - first.linear_s, sent, received, counters)

    @property
    def cycles(self):
        """Device cycles, or None."""
        return None if self.counters is None else self.counters.get("cycles")

    @property
    def link_bytes(self):
        return None if self.sent_bytes is None else self.sent_bytes + self.received_bytes

    def per_token(self, name):
        """A figure of this phase for each of its tokens, or None where it is unknown or no token passed."""
        value = getattr(self, name)
        return None if value is None or not self.tokens else value / self.tokens

    def on_board(self, clock_hz, link_bytes_per_s):
        """Modelled seconds a token on a board: device cycles at its clock, then the link's bytes, then the host.

        Nothing overlaps in this model, and the host's share is what this host took. None where the device does not
        count cycles or bytes.

        Raises
        ------
        RangeError
            A rate is not positive.
        """
        for name, value in (("clock_hz", clock_hz), ("link_bytes_per_s", link_bytes_per_s)):
            if not value > 0:
                raise RangeError(f"{name} must be positive, not {value!r}")
        if self.cycles is None or self.link_bytes is None or not self.tokens:
            return None
        host_s = self.seconds - self.linear_s
        return (self.cycles / clock_hz + self.link_bytes / link_bytes_per_s + host_s) / self.tokens


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
        rows = [("", "prompt", "text")]
        for label, name, unit in (
            ("tokens",             "tokens",         ""),
            ("seconds",            "seconds",        " s"),
            ("ms a token",         "seconds",        " ms/token"),
            ("linear layers",      "linear_s",       " ms/token"),
            ("other host work",    "host_s",         " ms/token"),
            ("link, to device",    "sent_bytes",     " B/token"),
            ("link, from device",  "received_bytes", " B/token"),
            ("device cycles",      "cycles",         " cycles/token"),
        ):
            rows.append((label, *(_cell(phase, name, unit) for phase in (self.prefill, self.decode))))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows)


def _cell(phase, name, unit):
    if name == "tokens":
        return str(phase.tokens)
    value = phase.seconds - phase.linear_s if name == "host_s" else getattr(phase, name)
    if value is None:
        return "not reported"
    if unit == " s":
        return f"{value:.2f} s"
    if not phase.tokens:
        return "none"
    value /= phase.tokens
    return f"{1000 * value:.2f}{unit}" if unit.startswith(" ms") else f"{value:,.0f}{unit}"
