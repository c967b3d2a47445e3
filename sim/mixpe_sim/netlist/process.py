# SPDX-License-Identifier: BSD-2-Clause
"""A running netlist."""

from mixpe_sim.process import START_LIMIT_S, URLS, SimProcess

# As over a UART, which holds nothing back: a request is sent when the one before was answered. 20 kB are on their way
# to the pins before an answer is, at 100 bytes a second at worst.
OPTIONS = "window=1&timeout_s=300"


class NetlistProcess(SimProcess):
    """A netlist's program, which lives and ends as `SimProcess`.

    Parameters
    ----------
    build : NetlistBuild
    start_limit_s : float

    Raises
    ------
    DeviceError
        It does not start.
    """

    def __init__(self, build, *, start_limit_s=START_LIMIT_S):
        self._launch(build, port=0, idle=True, foreground=False, run_folder=None, limit_s=start_limit_s, tap=None)
        self.url = f"{URLS['uart'].format(port=self.port)}?{OPTIONS}"

    def _prepare_folder(self):
        """It needs nothing there."""
