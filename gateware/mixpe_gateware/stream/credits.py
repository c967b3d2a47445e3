# SPDX-License-Identifier: BSD-2-Clause
"""Credits: a place behind a pipeline is taken before an entry sets out, so that nothing on its way need wait."""

from migen import If, Signal


def places(module, depth, take, give):
    """Places of a FIFO: taken in advance, given back when an entry leaves.

    Returns
    -------
    (all, one) : Signal()
        All places are free; there is one. Both are registers.
    """
    free = Signal(max=depth + 1, reset=depth)
    full = Signal(reset=1)
    one  = Signal(reset=1)
    module.sync += [
        If(take & ~give,
            free.eq(free - 1),
            full.eq(0),
            one.eq(free != 1),
        ).Elif(give & ~take,
            free.eq(free + 1),
            full.eq(free == depth - 1),
            one.eq(1),
        ),
    ]
    return full, one
