# SPDX-License-Identifier: BSD-2-Clause
"""Write the Verilog and LiteX's simulation files of a SoC: ``python -m mixpe_sim.elaborate options.json folder``.

Runs in a process of its own: LiteX changes the working directory, keeps state in classes, and looks for CPUs in the
folder it is started in.
"""

import json
import sys
from pathlib import Path

from litex.build.sim.config import SimConfig
from litex.soc.integration.builder import Builder

from mixpe_gateware.control.csr_map import complete_csr_maps
from mixpe_gateware.soc.savefile import write_savefile
from mixpe_sim.native import LINK_MODULES
from mixpe_sim.options import SimOptions
from mixpe_sim.savefile import FOLDER, HERE, SAVEFILE, trace_name
from mixpe_sim.soc import SimSoC


def elaborate(options, folder):
    """Build SoC, BIOS (with a CPU), Verilog, module configuration, CSR maps and GTKWave's savefile in a folder."""
    soc = SimSoC(options.config, memory=options.memory, dram_verbosity=options.sdram_verbosity,
                 probe=options.probe, refresh=options.refresh, cpu_type=options.cpu_type, link=options.link,
                 framed=options.framed)
    modules = SimConfig()
    modules.add_clocker("sys_clk", freq_hz=int(soc.sys_clk_freq))
    modules.add_module(LINK_MODULES[options.link], {"uart": "link", "etherbone": "gmii"}[options.link])
    if options.cpu_type is not None:
        modules.add_module("serial2console", "serial")
    builder = Builder(soc, output_dir=folder, compile_software=options.cpu_type is not None,
                      csr_svd=str(Path(folder, "soc.svd")))
    names = builder.build(sim_config=modules, run=False, interactive=False, trace=options.trace or options.trace_fst,
                          trace_fst=options.trace_fst, trace_start=options.trace_start, trace_end=options.trace_end)
    complete_csr_maps(builder)
    Path(folder, FOLDER).mkdir()
    write_savefile(soc, names, Path(folder, FOLDER, SAVEFILE), dump=f"{HERE}/{trace_name(options)}",
                   prefix="TOP.sim.", folder=HERE)
    sources = {"files": [str(source[0]) for source in soc.platform.sources if not str(source[0]).endswith(".init")],
               "include": [str(path) for path in soc.platform.verilog_include_paths]}
    Path(folder, "sources.json").write_text(json.dumps(sources), encoding="utf-8")


def main():
    """Read the options, elaborate."""
    values = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    elaborate(SimOptions.from_build_dict(values), sys.argv[2])


if __name__ == "__main__":
    main()
