# SPDX-License-Identifier: BSD-2-Clause
"""The processing element that a configuration names."""

from mixpe_gateware.contract.errors import ConfigError
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
        The design has no primitives of that family, or there is no such design here.
    """
    if config.pe not in DESIGNS:
        raise ConfigError(f"pe must be one of {', '.join(DESIGNS)} to be built, not {config.pe!r}")
    return DESIGNS[config.pe](lanes=config.lanes, target=target)
