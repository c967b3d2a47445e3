# SPDX-License-Identifier: BSD-2-Clause
"""GTKWave's savefile of a simulated SoC: kept with its build, and put beside the trace of a run."""

import shutil
from pathlib import Path

from mixpe.errors import ToolError

SAVEFILE = "sim.gtkw"
FOLDER   = "savefile"  # in a build
HERE     = "@FOLDER@"  # stands for the run's folder in what is kept


def trace_name(options):
    """File of a run's trace, as LiteX names it."""
    return "sim.fst" if options.trace_fst else "sim.vcd"


def place_savefile(build, folder):
    """Put a build's savefile, and the files that name its states, beside the trace of a run.

    Parameters
    ----------
    build : Path
        Folder of the build.
    folder : Path
        Of the run.

    Raises
    ------
    ToolError
        A file cannot be written.
    """
    folder = Path(folder).absolute()
    try:
        for kept in Path(build, FOLDER).iterdir():
            if kept.name == SAVEFILE:
                text = kept.read_text(encoding="utf-8")
                (folder/SAVEFILE).write_text(text.replace(HERE, str(folder)), encoding="utf-8")
            else:
                shutil.copyfile(kept, folder/kept.name)
    except OSError as error:
        raise ToolError(f"cannot write {error.filename}: {error.strerror}") from error
