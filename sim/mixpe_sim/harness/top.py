# SPDX-License-Identifier: BSD-2-Clause
"""Accelerator with plainly named ports, as Verilog for the harness."""

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from migen import ClockDomain, Signal

from mixpe_gateware.accelerator import Accelerator
from mixpe_gateware.contract.descriptor import POST
from mixpe_gateware.contract.registers import COUNTERS, RUN, counters_of
from mixpe_sim.harness.verilog import write_module


class HarnessTop(LiteXModule):
    """See `harness.cpp` for who drives what.

    `kind` is the accelerator's class, for tests that have engines of their own.
    """

    def __init__(self, config, mem_bytes, *, chunk_beats=128, kind=Accelerator, **options):
        self.cd_sys = ClockDomain("sys")
        modes = port_modes(config)
        word_bytes = config.memory_bits//8
        address_bits = (mem_bytes//word_bytes - 1).bit_length()
        # The inbox is what follows the memory in the harness's: only the port of the activations reaches it.
        ports = [LiteDRAMNativePort(mode, address_bits + (config.inbox_bits if index == config.read_ports else 0),
            config.memory_bits, id=index) for index, mode in enumerate(modes)]
        acts, out, *others = ports[config.read_ports:]
        self.accelerator = accelerator = kind(config, mem_bytes, ports[:config.read_ports], acts, out,
            chunk_beats=chunk_beats, **({"decoder_ports": others} if others else {}), **options)
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
                expose(f"port{index}_wdata_we",    port.wdata.we)
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
        for name in counters_of(config.parts):
            expose(f"event_{name}", accelerator.counters.events[name])
        if config.decoder:
            for name, register in accelerator.run.items():
                expose(name, register)


def write_verilog(path, config, mem_bytes, **options):
    """Write the top as Verilog module ``accelerator``."""
    top = HarnessTop(config, mem_bytes, **options)
    write_module(top, top.ios, path)


def port_modes(config):
    """What the accelerator's ports do, in order: list of str."""
    return ["read"]*(config.read_ports + 1) + ["write"] + (["read", "write"] if config.decoder else [])


def port_header(config, modes, *, job_words=POST + 1, events=COUNTERS, registers=()):
    """C++ accessors of the pins, for `harness.cpp`.

    Parameters
    ----------
    config : Config
    modes : list of str
        ``"read"`` or ``"write"`` for each port.
    job_words : int
        Words of a descriptor.
    events, registers : tuple of str
        Names of pins that are counted, and that can be read.
    """
    lines = [f"#define NPORTS {len(modes)}", f"#define BEAT_BYTES {config.memory_bits//8}",
        f"#define JOB_WORDS {job_words}", f"#define NEVENTS {len(events)}",
        f"#define EVENT_LIST {', '.join(f'top->event_{name}' for name in events)}",
        f"#define REGISTER_LIST {', '.join(f'h->top->{name}' for name in registers) or '0'}"]
    for index, mode in enumerate(modes):
        pin = f"top->port{index}"
        lines += [
            f"#define WDATA_VALID_{index} {pin}_wdata_valid",
            f"#define WDATA_{index} &{pin}_wdata_data",
            f"#define WDATA_WE_{index} {pin}_wdata_we",
            f"#define DRIVE_DATA_{index} {pin}_wdata_ready = p.wready;",
        ] if mode == "write" else [
            f"#define WDATA_VALID_{index} false",
            f"#define WDATA_{index} nullptr",
            f"#define WDATA_WE_{index} 0",
            (f"#define DRIVE_DATA_{index} {pin}_rdata_valid = p.rvalid; "
                f"if (p.rvalid) memcpy(&{pin}_rdata_data, &memory[p.address], BEAT_BYTES);"),
        ]
    lines.append("#define PORT_LIST(X) " + " ".join(f"X({index})" for index in range(len(modes))))
    return "\n".join(lines) + "\n"


def accelerator_header(config):
    """`port_header` of an accelerator."""
    return port_header(config, port_modes(config), events=counters_of(config.parts),
        registers=[register.name for register in RUN] if config.decoder else ())
