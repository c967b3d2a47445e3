# SPDX-License-Identifier: BSD-2-Clause
"""Trees of registers: what all rows of a large array need reaches them over short wires, at a cycle a level."""

from litex.soc.interconnect import stream
from migen import Signal

ROWS_PER_COPY = 8


def copies(config):
    """Registers that share the rows between them."""
    return max(1, config.rows//ROWS_PER_COPY)


def levels(config):
    """Registers one after the other between a source and the rows: none where everything is to be small."""
    return 0 if config.is_shallow else max(1, (copies(config) - 1).bit_length())


def spread(module, signal, config):
    """Registers with the value of a signal, one for every `ROWS_PER_COPY` rows.

    Each register feeds two, whose first values differ, or synthesis would make them one again. Latency `levels(config)`
    cycles; the registers have no reset.

    Returns
    -------
    list of Signal
        One a copy; the signal itself without levels.
    """
    nodes = [signal]
    for level in range(levels(config)):
        width = min(2, copies(config) >> level)
        nodes = [(node, Signal(len(signal), reset=ones*((1 << len(signal)) - 1), reset_less=True))
            for node in nodes for ones in range(width)]
        module.sync += [register.eq(node) for node, register in nodes]
        nodes = [register for _, register in nodes]
    return nodes


def delayed(module, signal, cycles, *, reset_less=False):
    """A signal some cycles later."""
    for _ in range(cycles):
        later = Signal(len(signal), reset_less=reset_less)
        module.sync += later.eq(signal)
        signal = later
    return signal


def register_stage(layout):
    """A register between two streams whose data has no reset: only what says that there is data needs one."""
    stage = stream.PipeValid(layout)
    for signal in stage.source.payload.flatten():
        signal.reset_less = True
    return stage
