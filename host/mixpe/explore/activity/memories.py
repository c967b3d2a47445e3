# SPDX-License-Identifier: BSD-2-Clause
"""Memories in a netlist: LUT RAM, shift registers in LUTs, block RAM. Each stream has contents of its own."""

from mixpe.explore.activity.cells import Block
from mixpe.explore.activity.weights import FLIP_FLOP, HARD, LUT


def select(words, address, ones):
    """The word at an address (its bits, lowest first): one integer, each stream its own."""
    for bit in address:
        words = [low & ~bit & ones | high & bit for low, high in zip(words[0::2], words[1::2], strict=True)]
    return words[0]


def chosen(place, address, ones):
    """The streams whose address is `place`."""
    here = ones
    for index, bit in enumerate(address):
        here &= bit if place >> index & 1 else ~bit & ones
    return here


class LutRam(Block):
    """Words that are read at once and written at the clock.

    Parameters
    ----------
    read_address, outputs, write_address, data : list of bits
    enable : bit
        Of writing.
    """

    clocks = 1

    def __init__(self, read_address, outputs, write_address, data, enable):
        self.inputs, self.outputs = tuple(read_address), tuple(outputs)
        self.write_address, self.data, self.enable = write_address, data, enable
        self.words = [[0]*(1 << len(read_address)) for _ in outputs]  # by bit, then address

    def evaluate(self, values, ones):
        address = [values.get(bit, 0) for bit in self.inputs]
        toggles = 0
        for bit, words in zip(self.outputs, self.words, strict=True):
            value = select(words, address, ones)
            toggles += (values.get(bit, 0) ^ value).bit_count()
            values[bit] = value
        return LUT*toggles

    def clock(self, values, ones):
        enable = values.get(self.enable, 0)
        if not enable:
            return 0.0, ()
        address = [values.get(bit, 0) for bit in self.write_address]
        changed = 0
        for place in range(len(self.words[0])):
            here = enable & chosen(place, address, ones)
            for words, bit in zip(self.words, self.data, strict=True):
                later = words[place] & ~here & ones | values.get(bit, 0) & here
                changed += (later ^ words[place]).bit_count()
                words[place] = later
        return FLIP_FLOP*changed, ()


class ShiftRegister(Block):
    """16 places in a LUT, of which one is read: a constant one, as synthesis makes them.

    Parameters
    ----------
    place : int
        0 is a delay of one cycle.
    output, data, enable : bit
    """

    clocks = 1

    def __init__(self, place, output, data, enable):
        self.place, self.output, self.data, self.enable = place, output, data, enable
        self.places = [0]*16

    def clock(self, values, ones):
        enable  = values.get(self.enable, 0)
        later   = [values.get(self.data, 0), *self.places[:-1]]
        later   = [now & ~enable & ones | new & enable for now, new in zip(self.places, later, strict=True)]
        changed = sum((now ^ new).bit_count() for now, new in zip(self.places, later, strict=True))
        self.places = later
        return HARD*changed, [(self.output, later[self.place], LUT)]


class BlockRam(Block):
    """Words that are read and written at the clock, what is read before what is written.

    Parameters
    ----------
    read_address, write_address : list of bits
        Those that are constant zero are left out by the caller.
    outputs, data, mask : list of bits
        A mask's ones keep what is there.
    read_enables, write_enables : list of bits
    """

    clocks = 1

    def __init__(self, read_address, outputs, read_enables, write_address, data, mask, write_enables):
        self.read_address, self.read_outputs, self.read_enables = read_address, outputs, read_enables
        self.write_address, self.data, self.mask, self.write_enables = write_address, data, mask, write_enables
        self.words = [[0]*(1 << max(len(read_address), len(write_address))) for _ in outputs]

    def clock(self, values, ones):
        read = write = ones
        for bit in self.read_enables:
            read &= values.get(bit, 0)
        for bit in self.write_enables:
            write &= values.get(bit, 0)
        swings = 2*len(self.words)*(read.bit_count() + write.bit_count())
        address = [values.get(bit, 0) for bit in self.read_address]
        address += [0]*((len(self.words[0]) - 1).bit_length() - len(address))
        changes = [(bit, values.get(bit, 0) & ~read & ones | select(words, address, ones) & read, LUT)
                   for bit, words in zip(self.read_outputs, self.words, strict=True)] if read else ()
        if write:
            address = [values.get(bit, 0) for bit in self.write_address]
            for place in range(1 << len(self.write_address)):
                here = write & chosen(place, address, ones)
                for words, bit, keep in zip(self.words, self.data, self.mask, strict=True):
                    new = here & ~values.get(keep, 0)
                    words[place] = words[place] & ~new & ones | values.get(bit, 0) & new
        return HARD*swings, changes
