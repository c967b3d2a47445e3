# SPDX-License-Identifier: BSD-2-Clause
"""Area of the decoder's engines, each out of context: ``python -m mixpe.explore.decoder [ENGINE …]``.

One synthesis for each engine and width of the memory, minutes each; results are cached by content.
"""

import argparse
import sys

from litedram.common import LiteDRAMNativePort
from migen import Signal

from mixpe.errors import MixpeError
from mixpe.explore.cost.flow import measure
from mixpe.explore.cost.targets import TARGETS
from mixpe_gateware.attention.engine import AttentionEngine
from mixpe_gateware.contract.config import PORT_BITS, Config
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.engine import Engine
from mixpe_gateware.control.program.sequencer import Sequencer
from mixpe_gateware.vector.engine import VectorEngine

MEM_BYTES = 32 << 20
COLUMNS   = ("engine", "beat", "memory", "LUT", "FF", "DSP", "block RAM")


class Pins:
    """Signals at the border of a unit, seen from inside: lists `inputs` and `outputs`."""

    def __init__(self):
        self.inputs, self.outputs = [], []

    def port(self, mode, config):
        """A port of the memory.

        Returns
        -------
        LiteDRAMNativePort
        """
        port = LiteDRAMNativePort(mode, log2(8*MEM_BYTES//config.memory_bits), config.memory_bits)
        self.inputs.append(port.cmd.ready)
        self.outputs += [port.cmd.valid, port.cmd.we, port.cmd.addr]
        if mode == "read":
            self.inputs += [port.rdata.valid, port.rdata.data]
            self.outputs.append(port.rdata.ready)
        else:
            self.inputs.append(port.wdata.ready)
            self.outputs += [port.wdata.valid, port.wdata.data, port.wdata.we]
        return port

    def engine(self, engine):
        """Add what an engine, or the sequencer as the queue sees it, says and hears."""
        source = engine.source
        self.inputs  += [engine.valid, engine.value, engine.now, engine.enable, source.ready]
        self.outputs += [engine.index, engine.pop, engine.quiet, source.valid, source.code, source.start]

    def served(self, engine):
        """Add an engine that a sequencer serves."""
        self.inputs  += [engine.index, engine.pop, engine.source.valid, engine.source.code, engine.source.start]
        self.outputs += [engine.valid, engine.value, engine.source.ready]


def _bounded(pins, engine):
    pins.engine(engine)
    pins.inputs  += [engine.low_beat, engine.high_beat]
    pins.outputs += engine.events.values()
    return engine


def _vector(config, pins):
    engine = VectorEngine(config, MEM_BYTES, *(pins.port(mode, config) for mode in ("read", "read", "write")))
    pins.outputs += [engine.choice.valid, engine.choice.token]
    return _bounded(pins, engine)


def _attention(config, pins):
    return _bounded(pins, AttentionEngine(config, MEM_BYTES, pins.port("read", config), pins.port("write", config)))


def _sequencer(config, pins):
    engines   = [Engine() for _ in range(3)]
    engines[0].let = Signal()  # of a `GemmEngine`
    pins.outputs.append(engines[0].let)
    sequencer = Sequencer(config, MEM_BYTES, engines, pins.port("read", config), pins.port("write", config))
    for engine in engines:
        pins.served(engine)
    pins.engine(sequencer)
    pins.inputs  += [sequencer.choice.valid, sequencer.choice.token]
    pins.outputs += [sequencer.low_beat, sequencer.high_beat, sequencer.vector_low, sequencer.vector_high,
        sequencer.ended, sequencer.fenced, sequencer.waiting, *sequencer.run.values()]
    return sequencer


ENGINES = {"vector": _vector, "attention": _attention, "sequencer": _sequencer}


def measure_engine(name, config, device, **options):
    """Cost of an engine: area alone. `options` are those of `measure`.

    Raises
    ------
    ConfigError
        The engine cannot be built so.
    ToolError
    """
    pins = Pins()
    unit = ENGINES[name](config, pins)
    return measure(unit, pins.inputs, pins.outputs, device, seeds=(), **options)


def row(name, config, cost):
    """A line of the table."""
    shape = f"{name}, {config.attention_heads} × {config.attention_lanes}, heads of {config.head_max}" \
        if name == "attention" else name
    return (shape, config.port_bits, config.memory_bits, f"{cost.luts:.0f}", f"{cost.flip_flops:.0f}",
        f"{cost.dsps:.0f}", f"{cost.block_rams:.0f}")


def main(argv=None):
    """Measure, print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mixpe.explore.decoder", description=__doc__.split("\n\n")[0])
    parser.add_argument("engines", nargs="*", metavar="ENGINE", help=f"of {', '.join(ENGINES)} (all)")
    parser.add_argument("--port-bits", type=int, nargs="+", default=(32, 128), choices=PORT_BITS, metavar="B",
                        help="widths of a beat (32 128)")
    parser.add_argument("--memory-bits", type=int, choices=PORT_BITS, metavar="B", help="of the memory (a beat's)")
    parser.add_argument("--heads", type=int, default=4, metavar="N", help="side by side in attention (4)")
    parser.add_argument("--lanes", type=int, metavar="L", help="of attention (a beat's bytes)")
    parser.add_argument("--head-max", type=int, default=128, metavar="D", help="elements of a head at most (128)")
    parser.add_argument("--context-max", type=int, default=2048, metavar="N", help="positions at most (2048)")
    parser.add_argument("--device", default="LFE5U-85F-6", choices=TARGETS, metavar="NAME", help="(LFE5U-85F-6)")
    args = parser.parse_args(argv)
    try:
        for name in args.engines:
            if name not in ENGINES:
                parser.error(f"there is no engine {name!r}; there are {', '.join(ENGINES)}")
        print("| " + " | ".join(COLUMNS) + " |\n|---|" + "---:|"*(len(COLUMNS) - 1), flush=True)
        for name in args.engines or ENGINES:
            for bits in args.port_bits:
                config = Config(port_bits=bits, memory_bits=args.memory_bits, k_max=4096, decoder=True,
                    attention_heads=args.heads, attention_lanes=args.lanes, head_max=args.head_max,
                    context_max=args.context_max)
                cells = row(name, config, measure_engine(name, config, args.device))
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    except MixpeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
