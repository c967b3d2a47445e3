# SPDX-License-Identifier: BSD-2-Clause
"""How a program can fail."""

from mixpe_gateware.contract.errors import ToolError


class ToolMissing(ToolError):
    """A program is not installed; the message says how to get it."""


class ToolCrash(ToolError):
    """A program ended with an error.

    Attributes
    ----------
    code : int or None
        Exit status, negative for a signal.
    output : str
        All that it printed.
    """

    def __init__(self, message, code=None, output=""):
        super().__init__(message)
        self.code   = code
        self.output = output


class DoesNotFit(ToolCrash):
    """The design needs more than the FPGA has."""


class ToolTimeout(ToolError):
    """A program ran out of time and was stopped."""


class NotMeasured(ToolError):
    """No program may run for a result that is not known."""
