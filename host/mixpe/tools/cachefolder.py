# SPDX-License-Identifier: BSD-2-Clause
"""Where what can be made again is kept."""

import os
import re
from pathlib import Path

from mixpe_gateware.contract.errors import ToolError

# Make splits names at spaces, and make, shells and the tools' scripts read more into other signs.
UNSAFE = re.compile(r"[^\w@+=,./~-]")


def cache_folder(name):
    """Folder of one kind of files: $MIXPE_CACHE/NAME, else mixpe/NAME in the user's cache folder. It may be missing.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path
        Absolute.
    """
    root = os.environ.get("MIXPE_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home()/".cache")/"mixpe"
    return Path(root).absolute()/name


def check_tool_folder(folder, remedy):
    """Refuse a folder in whose path external tools cannot work, before they start.

    Parameters
    ----------
    folder : Path
    remedy : str
        How to name another one.

    Raises
    ------
    ToolError
    """
    found = UNSAFE.search(str(folder))
    if found:
        what = "a space" if found.group() == " " else repr(found.group())
        raise ToolError(f"the folder {str(folder)!r} has {what} in its path, with which make and the FPGA tools do not "
            f"work; {remedy}")
