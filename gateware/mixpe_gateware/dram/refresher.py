# SPDX-License-Identifier: BSD-2-Clause
"""LiteDRAM's refresher behind registers, for memories whose controller is to run at 80 MHz or more."""

from litedram.core.controller import ControllerSettings
from litedram.core.refresher import Refresher
from litex.soc.interconnect import stream


class RegisteredRefresher(Refresher):
    """A refresher whose requests and commands come from registers, each one cycle later.

    In LiteDRAM the request goes from the refresher's timer over the arbitration of all banks into their command FIFOs
    in one cycle, the longest path of a SoC at 80 MHz on ECP5. All that it says moves by the same cycle, so the
    distances between its commands and to the banks' next ones are what they were; a refresh takes one cycle more.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        inner    = self.cmd
        self.cmd = outer = stream.Endpoint(inner.description)

        # # #

        self.sync += [
            outer.valid.eq(inner.valid),
            outer.last.eq(inner.last),
            outer.payload.eq(inner.payload),
        ]
        self.comb += inner.ready.eq(outer.ready)


def sdr_settings(**settings):
    """LiteDRAM's controller for SDR memory.

    Parameters
    ----------
    settings
        Further ones, of `litedram.core.controller.ControllerSettings`.

    Returns
    -------
    ControllerSettings
    """
    return ControllerSettings(refresh_cls=RegisteredRefresher, **settings)
