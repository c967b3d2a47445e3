# SPDX-License-Identifier: BSD-2-Clause
"""What the server did and what its device measured: for /metrics, and for the page."""

import threading
import time
from collections import deque
from contextlib import contextmanager

WINDOW_S = 30.0  # over which rates are taken, and as long after the last reading as they are given
SAMPLE_S = 1.0   # between two readings of the device's counters


class Figures:
    """Sums since the start, and a window of the last seconds.

    Parameters
    ----------
    device : device or None
    """

    def __init__(self, device):
        self._device = device
        self._lock   = threading.Lock()
        self.begun   = time.time()
        self.outcomes  = {"stop": 0, "length": 0, "cancelled": 0, "error": 0, "refused": 0}
        self.prompt    = self.kept = self.generated = self.passes = 0
        self.looked_bytes = self.damages = 0
        self.seconds   = 0.0
        self._samples  = deque()  # (time, generated, seconds, passes, counters, link)
        self._counters = self._link = None
        self._read_at  = 0.0
        self.read()  # what the first answer is measured from

    @contextmanager
    def timed(self, work):
        """Around a pass of [(sequence, tokens)]."""
        start = time.perf_counter()
        yield
        with self._lock:
            self.seconds += time.perf_counter() - start
            self.passes  += 1
            for sequence, tokens in work:
                if len(sequence.pending) <= len(tokens):
                    self.generated += 1
                if not sequence.made:
                    self.prompt += len(tokens)
        if time.monotonic() - self._read_at >= SAMPLE_S:
            self.read()

    def read(self):
        """Read the device's counters; while no other thread uses the device, between passes and after the last one."""
        if self._device is None:
            return
        counters, link = self._device.counters(), self._device.link_bytes()
        with self._lock:
            self._read_at = time.monotonic()
            self._counters, self._link = counters, link
            self._samples.append((self._read_at, self.generated, self.seconds, self.passes, counters, link))
            while len(self._samples) > 2 and self._samples[0][0] < self._read_at - WINDOW_S:
                self._samples.popleft()

    def ended(self, sequence):
        """A sequence is over."""
        with self._lock:
            self.kept += sequence.known
            self.outcomes[sequence.outcome] += 1

    def looked(self, size):
        """So many bytes of the device's memory were found to be what they were."""
        with self._lock:
            self.looked_bytes += size

    def damaged(self, names):
        """These things in the device's memory were not."""
        with self._lock:
            self.damages += len(names)

    def refused(self):
        """A request was not taken."""
        with self._lock:
            self.outcomes["refused"] += 1

    def snapshot(self):
        """For the page, ready for JSON: sums, and rates of the last seconds; None if nothing was measured then."""
        with self._lock:
            found = {
                "up_s": time.time() - self.begun, "generated_tokens": self.generated, "prompt_tokens": self.prompt,
                "kept_tokens": self.kept, "passes": self.passes, "busy_s": self.seconds,
                "requests": dict(self.outcomes), "counters": self._counters,
                "link": self._link, "window": None, "looked_bytes": self.looked_bytes, "damages": self.damages,
            }
            if len(self._samples) >= 2 and self._samples[-1][0] >= time.monotonic() - WINDOW_S:
                first, last = self._samples[0], self._samples[-1]
                found["window"] = {
                    "seconds": last[0] - first[0], "tokens": last[1] - first[1], "busy_s": last[2] - first[2],
                    "passes": last[3] - first[3],
                    "counters": {name: last[4][name] - first[4][name] for name in last[4]},
                    "link": {name: last[5][name] - first[5][name] for name in last[5]},
                }
        return found

    def prometheus(self, waiting, active):
        """Text of /metrics."""
        found = self.snapshot()
        lines = []

        def put(name, kind, text, values):
            lines.append(f"# HELP mixpe_{name} {text}")
            lines.append(f"# TYPE mixpe_{name} {kind}")
            lines.extend(f"mixpe_{name}{labels} {value}" for labels, value in values)

        put("requests_total", "counter", "Requests by how they ended.",
            [(f'{{outcome="{name}"}}', count) for name, count in found["requests"].items()])
        put("prompt_tokens_total", "counter", "Prompt tokens that were computed.", [("", found["prompt_tokens"])])
        put("kept_tokens_total", "counter", "Prompt tokens that a kept cache had.", [("", found["kept_tokens"])])
        put("generated_tokens_total", "counter", "Tokens that were made.", [("", found["generated_tokens"])])
        put("passes_total", "counter", "Passes through the model.", [("", found["passes"])])
        put("busy_seconds_total", "counter", "Seconds in passes.", [("", f"{found['busy_s']:.6f}")])
        put("waiting_requests", "gauge", "Requests in the queue.", [("", waiting)])
        put("active_requests", "gauge", "Requests that are being answered.", [("", active)])
        if found["counters"] is not None:
            put("looked_bytes_total", "counter", "Bytes of the device's memory that were found right.",
                [("", found["looked_bytes"])])
            put("damages_total", "counter", "Layers and others in the device's memory that were found damaged.",
                [("", found["damages"])])
            put("device_total", "counter", "The device's own counters, in cycles, beats or jobs.",
                [(f'{{counter="{name}"}}', value) for name, value in found["counters"].items()])
            put("link_bytes_total", "counter", "Bytes over the link.",
                [(f'{{direction="{name}"}}', found["link"][name]) for name in ("sent", "received")])
        return "\n".join(lines) + "\n"
