# SPDX-License-Identifier: BSD-2-Clause
"""What the control part and an engine say to each other."""

from litex.gen import LiteXModule
from litex.soc.interconnect import stream
from migen import Signal

from mixpe_gateware.contract.descriptor import SLOT_WORDS

PROGRESS = ("busy", "beats_in", "beats_out")               # events that say that a job goes on
EVENTS   = (*PROGRESS, "wait_weights", "wait_results")     # that an engine counts


class Engine(LiteXModule):
    """Base of the engines: it reads descriptors word by word, works, and says how each job ended, in order.

    An engine checks a job's regions (with `control.regions`) before it touches memory, never reads or writes outside
    them, and ends each job that it took with a code. A reset of its clock domain empties it; before that `enable` goes
    low and `quiet` is awaited.

    Attributes
    ----------
    valid : Signal(), in
        There is a descriptor for this engine.
    index : Signal(max=SLOT_WORDS), out; value : Signal(32), in
        Word of it; it comes in the next cycle. Word 0 between descriptors.
    pop : Signal(), out
        Strobe: the descriptor is done with.
    source : Endpoint([("code", 4), ("start", 32)]), out
        A job that ended, with the time stamp of its begin.
    now : Signal(32), in
        Free-running time stamp in cycles.
    enable : Signal(), in
        Low stops new reads and writes; answers on their way are thrown away.
    quiet : Signal(), out
        Nothing is on its way from or to memory.
    events : dict of name: Signal(2), out
        How often each of `EVENTS` happened in this cycle.
    """

    def __init__(self):
        self.valid  = Signal()
        self.index  = Signal(max=SLOT_WORDS)
        self.value  = Signal(32)
        self.pop    = Signal()
        self.source = stream.Endpoint([("code", 4), ("start", 32)])
        self.now    = Signal(32)
        self.enable = Signal(reset=1)
        self.quiet  = Signal()
        self.events = {name: Signal(2) for name in EVENTS}
