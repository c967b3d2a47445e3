# SPDX-License-Identifier: BSD-2-Clause
"""External programs: which there are and what installs them, finding, running and stopping them.

    run_tool("yosys", ["-p", script], folder, limit_s)      what it printed, or a ToolError

Nothing else in mixpe starts a process or looks for a program.
"""

from mixpe.tools.errors import DoesNotFit, NotMeasured, ToolCrash, ToolMissing, ToolTimeout
from mixpe.tools.programs import CHAINS, check_chain, compiler, find_all, find_tool
from mixpe.tools.run import run_tool
from mixpe.tools.service import start_tool, stop_tool, wait_tool
from mixpe.tools.versions import package_versions, tool_version

__all__ = [
    "CHAINS", "DoesNotFit", "NotMeasured", "ToolCrash", "ToolMissing", "ToolTimeout", "check_chain", "compiler",
    "find_all", "find_tool", "package_versions", "run_tool", "start_tool", "stop_tool", "tool_version", "wait_tool",
]
