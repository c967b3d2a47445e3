# SPDX-License-Identifier: BSD-2-Clause
"""Errors of mixpe. Each message names the value that was wrong and what would be right."""


class MixpeError(Exception):
    """Base of every error that mixpe raises on purpose."""


class ConfigError(MixpeError, ValueError):
    """A configuration that cannot be built (rows, port width, capacities, options)."""


class DtypeError(MixpeError, TypeError):
    """An array or value of the wrong type."""


class ShapeError(MixpeError, ValueError):
    """An array whose shape does not fit."""


class RangeError(MixpeError, ValueError):
    """A number outside its range, or not finite."""


class JobError(MixpeError):
    """The accelerator refused or aborted a job.

    Attributes
    ----------
    code : JobCode or None
        What the gateware answered.
    """

    def __init__(self, message, code=None):
        super().__init__(message)
        self.code = code


class DeviceError(MixpeError):
    """The device is not what was expected or does not work."""


class NotMixpeError(DeviceError):
    """What answers at this URL is no mixpe device."""


class ContractError(DeviceError):
    """The device speaks another version of the contract."""


class DeviceMemoryError(DeviceError, MemoryError):
    """The job or the model does not fit the device's memory."""


class ModelMemoryError(DeviceMemoryError):
    """A model whose layers do not fit; nothing was sent.

    Attributes
    ----------
    needed_bytes, free_bytes : int
        What the layers and one token's buffers take, and what is free.
    offers : tuple of str
        What would fit.
    """

    def __init__(self, text, needed_bytes, free_bytes, offers):
        super().__init__(text)
        self.needed_bytes, self.free_bytes, self.offers = needed_bytes, free_bytes, offers


class VerifyError(DeviceError):
    """Data in the device's memory is not what was sent."""


class LinkError(MixpeError, OSError):
    """The link to the device failed."""


class LinkTimeout(LinkError, TimeoutError):
    """The device did not answer within the limit."""


class UrlError(MixpeError, ValueError):
    """A device URL that cannot be understood."""


class ToolError(MixpeError):
    """A program that is needed (Verilator, compiler, synthesis) is missing or failed."""


class ModelError(MixpeError, ValueError):
    """A language model file or a request to it that cannot be served."""
