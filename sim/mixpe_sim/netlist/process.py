# SPDX-License-Identifier: BSD-2-Clause
"""A running netlist."""

from mixpe_sim.process import START_LIMIT_S, URLS, SimProcess

TIMEOUT_S = 300  # of the link: 20 kB are on their way to the pins before an answer is, at 100 bytes a second at worst


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
        self.url = f"{URLS['uart'].format(port=self.port)}?timeout_s={TIMEOUT_S}"

    def _prepare_folder(self):
        """It needs nothing there."""
