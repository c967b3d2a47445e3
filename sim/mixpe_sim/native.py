# SPDX-License-Identifier: BSD-2-Clause
"""The C modules of a simulation: which a SoC needs, and the files that they are made of."""

from pathlib import Path

from mixpe_sim.toolchain import litex_core_folder

LINK_MODULES = {"uart": "mixpe_link", "etherbone": "mixpe_eth"}


def module_sources(options):
    """Name → C file of each module that a simulated SoC loads."""
    litex = Path(litex_core_folder()) / "modules"
    name  = LINK_MODULES[options.link]
    found = {"clocker": litex / "clocker" / "clocker.c",
             name: Path(__file__).parent / "modules" / name / f"{name}.c"}
    if options.cpu_type is not None:
        found["serial2console"] = litex / "serial2console" / "serial2console.c"
    return found


def own_files(options):
    """Our files that are compiled into a simulated SoC, in order."""
    root = Path(__file__).parent
    name = LINK_MODULES[options.link]
    return sorted([*(root / "modules").glob("*.h"), *(root / "modules" / name).glob("*.[ch]"),
                   *(root / "runtime").glob("*.cpp")])
