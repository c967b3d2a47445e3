# SPDX-License-Identifier: BSD-2-Clause
"""An engine with plainly named pins, as Verilog."""

from litedram.common import LiteDRAMNativePort
from litex.gen import LiteXModule
from litex.gen.fhdl.verilog import convert
from migen import ClockDomain, Signal

from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.vector.engine import VectorEngine

ENGINES = {Opcode.VECTOR: VectorEngine}
MODES   = ("read", "read", "write")


class BenchTop(LiteXModule):
    """See `bench.cpp` for who drives what."""

    def __init__(self, opcode, config, mem_bytes):
        self.cd_sys = ClockDomain("sys")
        address_bits = (mem_bytes//(config.memory_bits//8) - 1).bit_length()
        ports = [LiteDRAMNativePort(mode, address_bits, config.memory_bits, id=index)
            for index, mode in enumerate(MODES)]
        self.engine = engine = ENGINES[opcode](config, mem_bytes, *ports)
        self.ios = {self.cd_sys.clk, self.cd_sys.rst}

        # # #

        def expose(name, signal, is_input=False):
            pin = Signal(len(signal), name=name)
            self.comb += signal.eq(pin) if is_input else pin.eq(signal)
            self.ios.add(pin)

        for index, port in enumerate(ports):
            for name in ("valid", "we", "addr"):
                expose(f"port{index}_cmd_{name}", getattr(port.cmd, name))
            expose(f"port{index}_cmd_ready", port.cmd.ready, is_input=True)
            if MODES[index] == "read":
                expose(f"port{index}_rdata_valid", port.rdata.valid, is_input=True)
                expose(f"port{index}_rdata_data",  port.rdata.data,  is_input=True)
            else:
                for name in ("valid", "data", "we"):
                    expose(f"port{index}_wdata_{name}", getattr(port.wdata, name))
                expose(f"port{index}_wdata_ready", port.wdata.ready, is_input=True)
        choice = getattr(engine, "choice", None)
        expose("choice_valid", choice.valid if choice else Signal())
        expose("choice_token", choice.token if choice else Signal(20))
        for name in ("index", "pop", "quiet"):
            expose(name, getattr(engine, name))
        for name in ("valid", "value", "enable", "low_beat", "high_beat"):
            expose(name, getattr(engine, name), is_input=True)
        expose("source_valid", engine.source.valid)
        expose("source_code",  engine.source.code)
        expose("source_ready", engine.source.ready, is_input=True)


def write_verilog(path, opcode, config, mem_bytes):
    """Write the top as Verilog module ``bench``, with the contents of its memories: a library has no folder."""
    top    = BenchTop(opcode, config, mem_bytes)
    output = convert(top, top.ios, name="bench", regular_comb=False)
    text   = output.main_source
    for name, content in output.data_files.items():
        before, call, after = text.partition(f'$readmemh("{name}", ')
        memory, end, after  = after.partition(");")
        assert call and end
        words = [f"{memory}[{index}] = 'h{word};" for index, word in enumerate(content.split())]
        text  = before + " ".join(words) + after
    path.write_text(text)
