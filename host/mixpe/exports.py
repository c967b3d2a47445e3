# SPDX-License-Identifier: BSD-2-Clause
"""Files about a SoC for other tools, from the folder of its build to where a user wants them."""

import shutil
from pathlib import Path

from mixpe.errors import ToolError

FILES = {"csr_csv": "csr.csv", "csr_json": "csr.json", "soc_svd": "soc.svd"}  # as a build has them


def copy_exports(folder, targets):
    """Copy files about a SoC.

    Parameters
    ----------
    folder : Path
        Of a build.
    targets : dict of str to path
        By the names in `FILES`.

    Raises
    ------
    ToolError
        A file cannot be written.
    """
    for name, target in targets.items():
        try:
            shutil.copyfile(Path(folder, FILES[name]), target)
        except OSError as error:
            raise ToolError(f"cannot write {target}: {error.strerror}") from error
