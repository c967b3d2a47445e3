# SPDX-License-Identifier: BSD-2-Clause
"""Where what can be made again is kept."""

import os
from pathlib import Path


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
