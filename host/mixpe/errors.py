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

__all__ = [
    "ConfigError", "ContractError", "DeviceError", "DeviceMemoryError", "DtypeError", "JobError", "LinkError",
    "LinkTimeout", "MixpeError", "ModelError", "ModelMemoryError", "NotMixpeError", "RangeError", "ShapeError",
    "ToolError", "UrlError", "VerifyError",
]
