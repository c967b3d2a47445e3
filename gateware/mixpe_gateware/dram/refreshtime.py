# SPDX-License-Identifier: BSD-2-Clause
"""The time of a refresh, for DDR3 at a slow clock."""

from copy import copy

CLOCK_NS = 1.25  # of DDR3-1600, whose speed grade is a chip's default


def with_refresh_time(module):
    """A DDR3 chip whose refresh takes its nanoseconds at any clock.

    LiteDRAM has tRFC in cycles of the memory's clock at 1600 MT/s. At 1:2 of 75 MHz these last 1.4 µs for the 0.26 µs
    that the chip needs, every 7.8 µs.

    Parameters
    ----------
    module : class of `litedram.modules`

    Returns
    -------
    class
    """
    timings      = copy(module.speedgrade_timings["default"])
    cycles, _    = timings.tRFC
    timings.tRFC = (None, cycles*CLOCK_NS)
    return type(module.__name__, (module,), {"speedgrade_timings": {"default": timings}})
