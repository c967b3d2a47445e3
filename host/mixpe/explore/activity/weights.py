# SPDX-License-Identifier: BSD-2-Clause
"""What a toggle counts. The unit is that of one LUT output: good for comparing designs on one fabric, not for watts.

Every change of a net counts with its driver's weight; every clock pin counts each cycle. What changes inside a hard
block drives no routing and counts a fourteenth of what it would in the fabric's logic: so much less dynamic power do
standard cells take (I. Kuon and J. Rose, "Measuring the Gap Between FPGAs and ASICs", IEEE TCAD 26(2), 2007, table IV:
14 for logic alone). For a DSP block these are the adders of an array multiplier and its registers; for a block RAM, the
bit lines of a word, twice an access; for a shift register in a LUT, its places.
"""

LUT       = 1.0   # output of a LUT, or of a LUT RAM's read port
SUM       = 1.0   # sum of a carry cell that is a LUT too
MUX       = 0.5   # behind LUTs: wide multiplexers, sums of a carry cell that follows LUTs
CARRY     = 0.25  # from one carry cell to the next
FLIP_FLOP = 0.5   # output; or a bit that a write to LUT RAM changes
CLOCK     = 0.1   # of a flip-flop, LUT RAM or shift register, each cycle
HARD      = 1/14  # of the same inside a hard block
