# SPDX-License-Identifier: BSD-2-Clause
"""The processing element that a configuration names."""

from mixpe_gateware.pe import DESIGNS


def element(config, target="portable"):
    """Parameters (`DotProduct`) of a row's dot product. All designs give the same results.

    Parameters
    ----------
    config : Config
    target : str
        FPGA family whose primitives it may use, or ``"portable"``.

    Raises
    ------
    ConfigError
        The design has no primitives of that family.
    """
    return DESIGNS[config.pe](lanes=config.lanes, target=target)
