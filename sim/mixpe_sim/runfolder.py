# SPDX-License-Identifier: BSD-2-Clause
"""A temporary folder that does not outlive the program that made it, even one that is killed."""

import os
import shutil
import tempfile
from pathlib import Path

from mixpe.tools import start_tool, wait_tool

# The pipe ends when we close our end, or die.
REMOVE  = ["sh", "-c", 'read -r _ < "/dev/fd/$2"; exec rm -rf -- "$1"', "remove"]
LIMIT_S = 5.0


class RunFolder:
    """A child process waits for the end of this one, and removes the folder then.

    Parameters
    ----------
    prefix : str
        Of its name.

    Attributes
    ----------
    path : Path

    Raises
    ------
    ToolError
        There is no `sh`.
    """

    def __init__(self, prefix):
        self.path = Path(tempfile.mkdtemp(prefix=prefix)).absolute()
        theirs, self._ours = os.pipe()
        try:
            self._remover = start_tool([*REMOVE, str(self.path), str(theirs)], None, pass_fds=[theirs])
        except BaseException:
            os.close(self._ours)
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        finally:
            os.close(theirs)

    def close(self):
        """Remove it now. A second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        ours, self._ours = self._ours, None
        if ours is not None:
            os.close(ours)
            wait_tool(self._remover, LIMIT_S)
