# SPDX-License-Identifier: BSD-2-Clause
"""Accelerator with plainly named ports, as Verilog for the harness."""

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from migen import ClockDomain, Signal

from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.descriptor import WORDS
from mixpe_gateware.contract.registers import COUNTERS
from mixpe_sim.harness.verilog import write_module


class HarnessTop(LiteXModule):
    """See `harness.cpp` for who drives what."""

    def __init__(self, config, mem_bytes, *, chunk_beats=128, **options):
        self.cd_sys = ClockDomain("sys")
        modes = ["read"]*(config.read_ports + 1) + ["write"]
        word_bytes = config.memory_bits//8
        address_bits = (mem_bytes//word_bytes - 1).bit_length()
        # The inbox is what follows the memory in the harness's: only the port of the activations reaches it.
        ports = [LiteDRAMNativePort(mode, address_bits + (config.inbox_bits if index == config.read_ports else 0),
            config.memory_bits, id=index) for index, mode in enumerate(modes)]
        self.accelerator = accelerator = Accelerator(config, mem_bytes, ports[:config.read_ports], ports[-2], ports[-1],
            chunk_beats=chunk_beats, **options)
        self.ios = {self.cd_sys.clk, self.cd_sys.rst}

        # # #

        def expose(name, signal, is_input=False):
            pin = Signal(len(signal), name=name)
            self.comb += signal.eq(pin) if is_input else pin.eq(signal)
            self.ios.add(pin)

        for index, port in enumerate(ports):
            expose(f"port{index}_cmd_valid", port.cmd.valid)
            expose(f"port{index}_cmd_we",    port.cmd.we)
            expose(f"port{index}_cmd_addr",  port.cmd.addr)
            expose(f"port{index}_cmd_ready", port.cmd.ready, is_input=True)
            if modes[index] == "read":
                expose(f"port{index}_rdata_valid", port.rdata.valid, is_input=True)
                expose(f"port{index}_rdata_data",  port.rdata.data,  is_input=True)
            else:
                expose(f"port{index}_wdata_valid", port.wdata.valid)
                expose(f"port{index}_wdata_data",  port.wdata.data)
                expose(f"port{index}_wdata_ready", port.wdata.ready, is_input=True)
        expose("post_write", accelerator.write, is_input=True)
        expose("post_word",  accelerator.word,  is_input=True)
        expose("post_data",  accelerator.data,  is_input=True)
        expose("post_ready", accelerator.ready)
        expose("source_valid", accelerator.source.valid)
        expose("source_ready", accelerator.source.ready, is_input=True)
        for name in ("tag", "code", "cycles"):
            expose(f"source_{name}", getattr(accelerator.source, name))
        expose("reset", accelerator.reset, is_input=True)
        expose("busy", accelerator.busy)
        for name in COUNTERS:
            expose(f"event_{name}", accelerator.counters.events[name])


def write_verilog(path, config, mem_bytes, **options):
    """Write the top as Verilog module ``accelerator``."""
    top = HarnessTop(config, mem_bytes, **options)
    write_module(top, top.ios, path)


def port_header(config):
    """C++ accessors of this configuration's ports, for `harness.cpp`."""
    lines = [f"#define NPORTS {config.read_ports + 2}", f"#define BEAT_BYTES {config.memory_bits//8}",
        f"#define JOB_WORDS {len(WORDS)}"]
    entries = []
    for index in range(config.read_ports + 2):
        is_write = index == config.read_ports + 1
        entries.append(f"X({index})")
        lines += [
            f"#define WDATA_VALID_{index} " + (f"top->port{index}_wdata_valid" if is_write else "false"),
            f"#define WDATA_{index} " + (f"&top->port{index}_wdata_data" if is_write else "nullptr"),
            f"#define DRIVE_DATA_{index} " + (f"top->port{index}_wdata_ready = p.wready;" if is_write else
                f"top->port{index}_rdata_valid = p.rvalid; "
                f"if (p.rvalid) memcpy(&top->port{index}_rdata_data, &memory[p.address], BEAT_BYTES);"),
        ]
    lines.append("#define PORT_LIST(X) " + " ".join(entries))
    return "\n".join(lines) + "\n"
