# SPDX-License-Identifier: BSD-2-Clause
"""Trials with one fault each: right or a typed error, in time; then all is right again, and opens at once."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import mixpe
from mixpe.errors import MixpeError
from mixpe_sim.faults.fault import KINDS, random_fault

RIGHT, TYPED = "right result", "typed error"
SILENT, UNTYPED, HUNG = "silent wrong result", "untyped exception", "hung"
LOST, SHUT   = "lost device", "did not open again"
BASELESS     = "error without a fault"
SHARES       = {"program": 0.2}  # of the trials, beside 1: it takes the longest
FAILURES     = (SILENT, UNTYPED, HUNG, LOST, SHUT, BASELESS)
TRIES        = 4  # trials for a fault that strikes: one may lie behind the last byte


@dataclass
class Report:
    """What came of trials.

    Attributes
    ----------
    counts : Counter
        Of outcomes.
    by_kind : dict of str to Counter
        The same for each kind of fault.
    errors : Counter
        Types of the typed errors.
    failures : list of str
        One line each.
    slowest_s : float
        Longest phase under a fault.
    """

    counts: Counter = field(default_factory=Counter)
    by_kind: dict = field(default_factory=lambda: {kind: Counter() for kind in KINDS})
    errors: Counter = field(default_factory=Counter)
    failures: list = field(default_factory=list)
    slowest_s: float = 0.0

    @property
    def failed(self):
        return sum(self.counts[name] for name in FAILURES)

    @property
    def faults(self):
        return sum(self.counts.values())

    def add(self, kind, outcome, text=""):
        """Count an outcome."""
        self.counts[outcome] += 1
        self.by_kind[kind][outcome] += 1
        if text:
            self.failures.append(text)


class _Alarm:
    """Ends all connections when a limit is over, so that what hangs on them ends."""

    def __init__(self, proxy, limit_s):
        self._proxy, self._limit_s = proxy, limit_s

    def __enter__(self):
        self.rang   = False
        self._timer = threading.Timer(self._limit_s, self._ring)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_exception):
        self._timer.cancel()

    def _ring(self):
        self.rang = True
        self._proxy.break_off()


class Campaign:
    """Trials on one device behind a proxy.

    Parameters
    ----------
    proxy : Proxy
    workload : Workload
    seed : int
    timeout_s : float
        Of the link.
    limit_s : float
        Of each phase, and of what follows it.
    kinds, phases : tuple of str
        Those of all that are tried; phases None: all of the workload's.
    **options
        For `mixpe.open`.
    """

    def __init__(self, proxy, workload, *, seed=0, timeout_s=1.0, limit_s=15.0, kinds=KINDS, phases=None,
                 **options):
        self.proxy, self.workload, self.limit_s, self.kinds = proxy, workload, limit_s, kinds
        self.url     = f"{proxy.url}?timeout_s={timeout_s:g}"
        self.options = options
        self.report  = Report()
        self._rng    = random.Random(seed)
        self._sizes  = {}
        self._phases = phases or workload.phases
        self._shares = [SHARES.get(phase, 1.0) for phase in self._phases]
        self._device = None

    def open(self):
        """Open the device, put the work on it, and count each phase's bytes."""
        self._device = mixpe.open(self.url, **self.options)
        self.workload.prepare(self._device)
        for phase in self._phases:
            is_ready = self.workload.get_ready(phase)
            self.proxy.arm()
            if not (is_ready and self.workload.run(phase)):
                raise AssertionError(f"{phase} is wrong without a fault")
            self._sizes[phase] = self.proxy.carried

    def close(self):
        """Close the device, whatever it says."""
        self.proxy.arm()
        device, self._device = self._device, None
        if device is not None:
            try:
                device.close()
            except MixpeError:
                pass

    def run(self, faults, progress=None):
        """Carry out trials until so many faults have struck; returns the Report.

        Raises
        ------
        MixpeError
            Too many do not.
        """
        trial = 0
        while self.report.faults < faults:
            if trial == TRIES*faults:
                raise MixpeError(f"of {trial} faults only {self.report.faults} have struck")
            if self._device is None:
                self.open()
            self._trial(trial)
            trial += 1
            if progress is not None:
                progress(self.report.faults, self.report)
        self.close()
        return self.report

    def _trial(self, trial):
        phase = self._rng.choices(self._phases, self._shares)[0]
        fault = random_fault(self._rng, self._sizes[phase], self.kinds)
        name  = f"trial {trial}, {phase}: {fault}"
        outcome, text = self._attempt(lambda: self.workload.get_ready(phase))
        if outcome != RIGHT:
            self.report.add(fault.kind, BASELESS, f"{name}: {BASELESS} {text}")
            self._start_over()
            return
        self.proxy.arm(fault)
        start = time.monotonic()
        outcome, text = self._attempt(lambda: self.workload.run(phase))
        self.report.slowest_s = max(self.report.slowest_s, time.monotonic() - start)
        if outcome == TYPED and not self.proxy.struck:
            outcome = BASELESS
        if outcome in FAILURES:
            self.report.add(fault.kind, outcome, f"{name}: {outcome} {text}")
        if outcome == TYPED:
            self.report.errors[text.partition(":")[0]] += 1
        has_struck = self.proxy.struck
        self.proxy.arm()
        if outcome in FAILURES:
            self._start_over()
            return
        after, text = self._attempt(self.workload.all_right)
        if after != RIGHT:
            after = SILENT if after == SILENT else LOST
            self.report.add(fault.kind, after, f"{name}: {outcome}, then {after} {text}")
            self._start_over()
            return
        after, text = self._attempt(lambda: self._open_again(phase))
        if after != RIGHT:
            self.report.add(fault.kind, SHUT, f"{name}: {outcome}, then {SHUT} {text}")
            self._start_over()
            return
        if has_struck:
            self.report.add(fault.kind, outcome)

    def _attempt(self, work):
        """Outcome of some work, and the text of its error."""
        with _Alarm(self.proxy, self.limit_s) as alarm:
            try:
                found = RIGHT if work() else SILENT, ""
            except MixpeError as error:
                found = TYPED, f"{type(error).__name__}: {error}"
            except Exception as error:
                found = UNTYPED, f"{type(error).__name__}: {error}"
        return (HUNG, "") if alarm.rang else found

    def _open_again(self, phase):
        """Close the device and open it anew, as the next program would; the work goes on there."""
        self.close()
        self._device = mixpe.open(self.url, **self.options)
        self.workload.prepare(self._device)
        return self.workload.get_ready(phase) and self.workload.all_right()

    def _start_over(self):
        """After a failure, with a device as new as can be had: the next trial opens it."""
        end = time.monotonic() + 10*self.limit_s
        while True:
            self.close()
            outcome, text = self._attempt(lambda: self._open_again("job"))
            if outcome == RIGHT:
                return
            if time.monotonic() > end:
                raise MixpeError(f"the device did not come back: {text}")
            time.sleep(0.2)
