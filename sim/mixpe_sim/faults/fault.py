# SPDX-License-Identifier: BSD-2-Clause
"""What can happen to a stream of bytes, once, at one place of it."""

from dataclasses import dataclass

KINDS      = ("flip", "drop", "double", "insert", "delay", "reorder", "cut", "half-open")
DIRECTIONS = ("up", "down")  # from the host, to the host
COUNTS     = (1, 1, 1, 1, 2, 3, 4, 6, 17, 64, 300, 1100)  # bytes that one fault takes
DELAYS_S   = (0.01, 0.1, 0.4)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind : str
        ``flip`` turns one bit, ``drop`` loses bytes, ``double`` carries them twice, ``insert`` puts random ones before
        them, ``delay`` holds all from here on back, ``reorder`` carries bytes behind as many that follow them, ``cut``
        ends the connection, ``half-open`` carries nothing more in this direction until the next connection.
    direction : str
        One of `DIRECTIONS`.
    offset : int
        Bytes of this direction before it.
    count : int
        Bytes that it takes.
    bit : int
        For ``flip``.
    delay_s : float
    noise : bytes
        For ``insert``.
    """

    kind: str
    direction: str
    offset: int
    count: int = 1
    bit: int = 0
    delay_s: float = 0.0
    noise: bytes = b""

    def __str__(self):
        return f"{self.kind} of {self.count} bytes at {self.offset} {self.direction}"


def random_fault(rng, sizes, kinds=KINDS):
    """A fault within so many bytes.

    Parameters
    ----------
    rng : random.Random
    sizes : dict of str to int
        Bytes of each direction.
    kinds : tuple of str
        Chosen from.
    """
    kind, direction, count = rng.choice(kinds), rng.choice(DIRECTIONS), rng.choice(COUNTS)
    return Fault(kind, direction, rng.randrange(max(1, sizes[direction])), 1 if kind == "flip" else count,
        bit=rng.randrange(8), delay_s=rng.choice(DELAYS_S), noise=rng.randbytes(count))


class FaultyStream:
    """One direction of a connection. A fault that is armed strikes once.

    Attributes
    ----------
    carried : int
        Bytes that came since the last `arm`.
    struck : bool
        The fault has begun.
    """

    def __init__(self):
        self.arm(None)

    def arm(self, fault):
        """Count from here on, and strike with this fault (None: with none)."""
        self.fault, self.carried, self.struck = fault, 0, False
        self._held, self._more, self._dead = b"", 0, False

    def connect(self):
        """A connection begins: what the last one held back is gone."""
        self._held, self._more, self._dead = b"", 0, False

    def carry(self, data):
        """What becomes of bytes.

        Returns
        -------
        bytes
            To carry on.
        delay_s : float
            To wait before that.
        is_cut : bool
            The connection ends behind them.
        """
        fault, start = self.fault, self.carried
        self.carried += len(data)
        if self._dead:
            return b"", 0.0, False
        if self._more:
            return self._go_on(data), 0.0, False
        if fault is None or self.struck or self.carried <= fault.offset:
            return data, 0.0, False
        self.struck = True
        before, after = data[:fault.offset - start], data[fault.offset - start:]
        return self._strike(fault, before, after)

    def _strike(self, fault, before, after):
        kind, count = fault.kind, fault.count
        if kind == "flip":
            after = bytes([after[0] ^ 1 << fault.bit]) + after[1:]
        elif kind == "insert":
            after = fault.noise + after
        elif kind in ("drop", "double", "reorder"):
            self._more = 2*count if kind == "reorder" else count
            after = self._go_on(after)
        elif kind == "cut":
            return before, 0.0, True
        elif kind == "half-open":
            self._dead, after = True, b""
        return before + after, fault.delay_s if kind == "delay" else 0.0, False

    def _go_on(self, data):
        """A fault that takes more bytes than came at once."""
        part, rest = data[:self._more], data[self._more:]
        self._more -= len(part)
        if self.fault.kind == "drop":
            return rest
        self._held += part
        if self._more:
            return b""
        count, held = self.fault.count, self._held
        self._held = b""
        return (held if self.fault.kind == "double" else held[count:]) + held[:count] + rest
