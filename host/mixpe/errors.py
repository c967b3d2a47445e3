# SPDX-License-Identifier: BSD-2-Clause
"""The errors of mixpe, in one place for users: ``except mixpe.errors.MixpeError`` catches all of them."""

from mixpe_gateware.contract.errors import (
    ConfigError,
    ContractError,
    DeviceError,
    DeviceMemoryError,
    DtypeError,
    JobError,
    LinkError,
    LinkTimeout,
    MixpeError,
    ModelError,
    ModelMemoryError,
    NotMixpeError,
    RangeError,
    ShapeError,
    ToolError,
    UrlError,
    VerifyError,
)


class DamageError(VerifyError):
    """The device's memory no longer holds what was put there; the next use, or `Device.recover`, puts it there again.

    Results since it was last looked at may be wrong.

    Attributes
    ----------
    names : tuple of str
        Layers, parts of programs and sessions that were hit.
    """

    def __init__(self, message, names):
        super().__init__(message)
        self.names = names


__all__ = [
    "ConfigError", "ContractError", "DamageError", "DeviceError", "DeviceMemoryError", "DtypeError", "JobError",
    "LinkError", "LinkTimeout", "MixpeError", "ModelError", "ModelMemoryError", "NotMixpeError", "RangeError",
    "ShapeError", "ToolError", "UrlError", "VerifyError",
]
