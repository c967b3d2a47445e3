# SPDX-License-Identifier: BSD-2-Clause
"""What a generation would take on a board: a model from counted cycles and bytes, not a measurement."""

from mixpe.errors import RangeError

LINKS = {  # payload bytes a second: a serial byte takes ten bit times, Ethernet frames are taken as 90 % payload
    "serial-115200": 11_520,
    "serial-1M":     100_000,
    "serial-3M":     300_000,
    "ethernet-100":  11_250_000,
    "ethernet-1000": 112_500_000,
}


class Deployment:
    """A board's clock and link.

    Parameters
    ----------
    clock_hz : float
        Positive.
    link : str
        One of `LINKS`.

    Raises
    ------
    RangeError
    """

    def __init__(self, clock_hz, link):
        if not clock_hz > 0:
            raise RangeError(f"the board's clock must be positive, not {clock_hz!r} Hz")
        if link not in LINKS:
            raise RangeError(f"the board's link must be one of {', '.join(LINKS)}, not {link!r}")
        self.clock_hz, self.link = float(clock_hz), link

    def seconds(self, phase):
        """Modelled seconds a token of a `statistics.Phase`, by part, or None without counted cycles and bytes.

        ``array``: cycles in which the array worked; ``memory``: the device's other cycles (waits for weights, results
        and the start of jobs), both at the board's clock; ``link``: bytes at the link's rate; ``host``: what this host
        took outside the linear layers. One follows the other; nothing overlaps.
        """
        if not phase.cycles or phase.link_bytes is None or not phase.tokens:
            return None
        busy = phase.busy_cycles or 0
        total = {"array": busy / self.clock_hz, "memory": (phase.cycles - busy) / self.clock_hz,
                 "link": phase.link_bytes / LINKS[self.link], "host": phase.host_s}
        return {part: seconds / phase.tokens for part, seconds in total.items()}

    def to_dict(self, statistics):
        """For JSON."""
        return {"modelled": True, "clock_hz": self.clock_hz, "link": self.link,
                "prefill_s_per_token": self.seconds(statistics.prefill),
                "decode_s_per_token": self.seconds(statistics.decode)}

    def text(self, statistics):
        """One line for people."""
        name = f"a board at {self.clock_hz / 1e6:g} MHz with {self.link}"
        parts = self.seconds(statistics.decode)
        if parts is None:
            return f"{name}: cannot be modelled, since this device does not count cycles and bytes"
        each = ", ".join(f"{part} {1000 * seconds:.2f}" for part, seconds in parts.items())
        return f"modelled for {name}: {1000 * sum(parts.values()):.2f} ms a token ({each})"
