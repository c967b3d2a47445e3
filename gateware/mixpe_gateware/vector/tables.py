# SPDX-License-Identifier: BSD-2-Clause
"""The tables of the decoder's functions in block RAM: 256 segments each, linear within."""

from migen import READ_FIRST, Cat, Memory, Signal, bits_for

from mixpe_gateware.contract.decoder.tables import FRACTION_BITS, SEGMENT_BITS, VALUE_BITS
from mixpe_gateware.vector.pipeline import Pipeline

SLOPE_BITS = 10
REST_BITS  = FRACTION_BITS - SEGMENT_BITS


class FunctionTables(Pipeline):
    """base[segment] − (slope[segment]·rest >> 8) of one of some tables.

    Latency 4 cycles, a value a cycle, no back-pressure.

    Parameters
    ----------
    tables : list of Table

    Attributes
    ----------
    which : Signal, in
        Index of the table.
    fraction : Signal(16), in
    value : Signal(18), out
    """

    LATENCY = 4

    def __init__(self, tables):
        self.which    = Signal(bits_for(max(1, len(tables) - 1)))
        self.fraction = Signal(FRACTION_BITS)
        self.value    = Signal(VALUE_BITS)

        # # #

        entries = [int(base) | int(slope) << VALUE_BITS for table in tables
            for base, slope in zip(table.base, table.slope, strict=True)]
        self.memory = memory = Memory(VALUE_BITS + SLOPE_BITS, len(entries), init=entries)
        self.port   = port   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, port
        segment = self.fraction[REST_BITS:]
        self.comb += port.adr.eq(Cat(segment, self.which) if len(tables) > 1 else segment)
        rest    = self.later(self.fraction[:REST_BITS], 2)
        entry   = self.register(port.dat_r)
        product = self.register(entry[VALUE_BITS:]*rest, SLOPE_BITS + REST_BITS)
        base    = self.register(entry[:VALUE_BITS])
        self.comb += self.value.eq(self.register(base - product[REST_BITS:], VALUE_BITS))
