# SPDX-License-Identifier: BSD-2-Clause
"""Binary adder tree with a register after each level."""

from migen import Module, Signal


def lane_signals(module, port, bits, signed):
    """Slices of `port` as signals of their own, so that signed ones stay signed in expressions."""
    lanes = []
    for offset in range(0, len(port), bits):
        lane = Signal((bits, signed))
        module.comb += lane.eq(port[offset:offset + bits])
        lanes.append(lane)
    return lanes


class AdderTree(Module):
    """Sum of signed operands, exact.

    Parameters
    ----------
    operands : list of Signal((bits, True))
        A power of two of them, all of one width.

    Attributes
    ----------
    total : Signal((bits + levels, True)), out
    latency : int
        One cycle a level.
    """

    def __init__(self, operands):
        self.latency = (len(operands) - 1).bit_length()

        # # #

        while len(operands) > 1:
            bits = operands[0].nbits + 1
            sums = []
            for a, b in zip(operands[0::2], operands[1::2], strict=True):
                node = Signal((bits, True), reset_less=True)
                self.sync += node.eq(a + b)
                sums.append(node)
            operands = sums
        self.total = operands[0]
