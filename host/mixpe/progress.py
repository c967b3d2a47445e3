# SPDX-License-Identifier: BSD-2-Clause
"""Progress of long work on stderr: share done, rate, time left. Nothing when stderr is no terminal."""

import sys
import time

from mixpe.terminal import scaled, width

FIRST_S  = 0.5  # work shorter than this shows nothing
REDRAW_S = 0.1
BAR      = range(6, 61)  # characters
FACTS    = 26            # usual ones of what stands behind the bar, so that it keeps its size


def _scaled(value):
    number, unit = scaled(value, 1000, ("", "k", "M", "G"))
    return f"{number:.3g} {unit}"


def _clock(seconds):
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    return f"{minutes}:{seconds:02d}"


class Progress:
    """A progress bar, as wide as its terminal has room for, each time that it is drawn.

        with Progress("upload", total_bytes, "B") as progress:
            for chunk in chunks:
                send(chunk)
                progress.advance(len(chunk))

    Parameters
    ----------
    label : str
    total : int
        Units of the whole work.
    unit : str
        For the rate: ``B``, ``tokens`` …
    stream : file, optional
        stderr if left out.
    """

    def __init__(self, label, total, unit, stream=None):
        self.label  = label
        self.total  = total
        self.unit   = unit
        self.stream = sys.stderr if stream is None else stream
        self.shown  = bool(getattr(self.stream, "isatty", lambda: False)())
        self.done   = 0
        self._start = self._drawn = time.monotonic()
        self._width = 0

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        if self._width:
            self.stream.write("\r" + " "*self._width + "\r")
            self.stream.flush()
            self._width = 0

    def advance(self, count):
        """Add to the work done, and draw if it is time to."""
        self.at(self.done + count)

    def at(self, done):
        """Set the work done, and draw if it is time to."""
        self.done = done
        now = time.monotonic()
        if self.shown and now - self._start >= FIRST_S and now - self._drawn >= REDRAW_S:
            self._drawn = now
            self._draw(now - self._start)

    def _draw(self, elapsed_s):
        share = min(1.0, self.done/self.total) if self.total else 1.0
        rate  = self.done/elapsed_s
        left  = _clock((self.total - self.done)/rate) if rate else "-:--"
        facts = f"{100*share:3.0f}%  {_scaled(rate)}{self.unit}/s  {left} left".ljust(FACTS + len(self.unit))
        room  = width(self.stream) - 1  # a terminal may go on in the next line behind its last column
        size  = min(max(room - len(f"{self.label} [] {facts}"), BAR[0]), BAR[-1])
        text  = f"{self.label} [{'#'*int(share*size):<{size}}] {facts}"[:room]
        self.stream.write("\r" + text.ljust(min(self._width, room)))
        self.stream.flush()
        self._width = len(text)
