# SPDX-License-Identifier: BSD-2-Clause
"""A synthesised netlist of the cost flow's harness, simulated cell by cell, many independent streams at once.

There are no delays, so no glitches. Every change of a net counts with the weight of what drives it (`weights`); the
harness' own registers are left out.
"""

import json

from mixpe.explore.activity import ecp5, gowin, ice40, xilinx
from mixpe.explore.activity.cells import Block, FlipFlop
from mixpe.explore.activity.parameters import Cell, NotSimulated
from mixpe.explore.activity.weights import CLOCK
from mixpe_gateware.contract.errors import ConfigError

FAMILIES  = {"ecp5": ecp5.CELLS, "gowin": gowin.CELLS, "ice40": ice40.CELLS, "xilinx": xilinx.CELLS}
CONSTANTS = ("0", "1", "x", "z")
ALIASES   = ("TRELLIS_IO", "IBUF", "BUFG", "GND", "VCC")


class Netlist:
    """A flattened netlist that can be stepped.

    Parameters
    ----------
    text : str
        Yosys JSON of the cost flow's harness: the pin ``serial`` shifts into a register that the pin ``clear`` resets,
        and that the unit's inputs are; its outputs are the register ``result``.
    family : str
        ``"ecp5"``, ``"gowin"``, ``"ice40"`` or ``"xilinx"``.
    streams : int
        Independent simulations side by side.

    Attributes
    ----------
    inputs : list
        Bits of the shift register, the first one behind ``serial`` first.
    energy : float
        Weighted toggles so far, over all streams.

    Raises
    ------
    NotSimulated
        The netlist has cells, or cells with parameters, that are not simulated.
    ConfigError
        The family is unknown, or the netlist is no harness, or has a loop.
    """

    def __init__(self, text, family, streams):
        if family not in FAMILIES:
            raise ConfigError(f"netlists of {', '.join(FAMILIES)} are simulated, not of {family!r}")
        module = json.loads(text)["modules"]["top"]
        if "result" not in module["netnames"]:
            raise ConfigError("the netlist has no register result")
        self.ones    = (1 << streams) - 1
        self.values  = {"0": 0, "1": self.ones, "x": 0, "z": 0}
        self.energy  = 0.0
        self._output_bits = module["netnames"]["result"]["bits"]
        primitives, resolve = _primitives(module, family)
        flip_flops   = [item for item in primitives if isinstance(item, FlipFlop)]
        self.blocks  = [item for item in primitives if isinstance(item, Block)]
        logic        = [item for item in primitives if not isinstance(item, FlipFlop) and item.outputs]
        serial, clear = (resolve(module["ports"][port]["bits"][0]) for port in ("serial", "clear"))
        self.inputs  = _shift_register(serial, clear, flip_flops)
        shift        = set(self.inputs)
        self._flip_flops = [(item, 0.0 if item.output in self._output_bits else item.weight) for item in flip_flops
                            if item.output not in shift]
        self._clocks = sum(weight > 0 for _, weight in self._flip_flops) + sum(block.clocks for block in self.blocks)
        for item in flip_flops:
            self.values[item.output] = self.ones*item.start
        for bit in self.inputs:
            self.values[bit] = 0
        self._evaluate = self._compiled(_ordered(logic))

    def _compiled(self, logic):
        """Function of the values that evaluates all logic in its order and returns the weighted toggles."""
        lines  = ["def evaluate(v, M):", "    t = 0.0"]
        blocks = []

        def pin(bit):
            if bit in CONSTANTS:
                return "M" if bit == "1" else "0"
            self.values.setdefault(bit, 0)
            return f"v[{bit!r}]"

        def drive(bit, expression, weight):
            self.values.setdefault(bit, 0)
            if weight:
                return f"a = {expression}; t += {weight}*(a ^ v[{bit!r}]).bit_count(); v[{bit!r}] = a"
            return f"v[{bit!r}] = {expression}"

        for item in logic:
            if isinstance(item, Block):
                lines.append(f"    t += blocks[{len(blocks)}].evaluate(v, M)")
                blocks.append(item)
            else:
                lines += [f"    {line}" for line in item.lines(pin, drive)]
        scope = {"blocks": blocks}
        exec("\n".join([*lines, "    return t"]), scope)  # the text is made above, from a netlist of our own
        return scope["evaluate"]

    def step(self, stimulus):
        """One clock cycle with the given input bits (a list of integers in the order of `inputs`).

        Afterwards `outputs` are those of this cycle's `result` register, and `energy` has grown.
        """
        values, ones = self.values, self.ones
        for bit, value in zip(self.inputs, stimulus, strict=True):
            values[bit] = value
        toggles, later = self._evaluate(values, ones), []
        for item, weight in self._flip_flops:
            now  = values[item.output]
            data = next_value(item, values, now, ones)
            if data != now:
                toggles += weight*(data ^ now).bit_count()
                later.append((item.output, data))
        for block in self.blocks:
            inside, changes = block.clock(values, ones)
            toggles += inside
            for bit, value, weight in changes:
                toggles += weight*(value ^ values.get(bit, 0)).bit_count()
                later.append((bit, value))
        self.energy += toggles + CLOCK*self._clocks*ones.bit_count()
        values.update(later)

    @property
    def outputs(self):
        """Bits of the result register, an integer of all streams each."""
        return [self.values.get(bit, 0) for bit in self._output_bits]


def next_value(item, values, now, ones):
    """What a flip-flop takes at the clock's edge."""
    data = values.get(item.data, 0)
    keep = reset = 0
    if item.enable is not None:
        bit, inverted = item.enable
        keep = values.get(bit, 0) ^ (0 if inverted else ones)
        data = data & ~keep & ones | now & keep
    if item.reset is not None:
        bit, inverted = item.reset
        reset = values.get(bit, 0) ^ (ones if inverted else 0)
        if not item.reset_first:
            reset &= ~keep
        data = data | reset if item.value else data & ~reset
    return data & ones


def _primitives(module, family):
    """Primitives of all cells, and a function that makes a bit the one that it is an alias of."""
    cells   = FAMILIES[family]
    unknown = sorted({cell["type"] for cell in module["cells"].values()} - set(cells))
    if unknown:
        raise NotSimulated(f"cells of type {', '.join(unknown)} are not simulated; of {family} {', '.join(cells)} are")
    sources = {}

    def resolve(bit):
        while bit in sources:
            bit = sources[bit]
        return bit

    def expand(name, cell, used):
        pins = {port: [resolve(bit) for bit in bits] for port, bits in cell["connections"].items()}
        return list(cells[cell["type"]](Cell(name, cell["type"], pins, cell["parameters"], used)))

    aliases = {}
    for name, cell in module["cells"].items():
        if cell["type"] in ALIASES:
            for item in expand(name, cell, frozenset()):
                aliases[item.output] = item.source
    sources.update(aliases)
    used = frozenset(resolve(bit) for cell in module["cells"].values() for port, bits in cell["connections"].items()
                     if cell["port_directions"][port] == "input" for bit in bits)
    found = [item for name, cell in module["cells"].items() if cell["type"] not in ALIASES
             for item in expand(name, cell, used)]
    return found, resolve


def _shift_register(bit, clear, flip_flops):
    """The harness' inputs: the chain of flip-flops behind the pin `bit` that the pin `clear` resets."""
    after = {item.data: item.output for item in flip_flops if item.reset is not None and item.reset[0] == clear}
    chain = []
    while bit in after:
        bit = after.pop(bit)
        chain.append(bit)
    if after or not chain:
        raise ConfigError("the netlist is not of the cost flow's harness: no register shifts from serial, or clear "
                          "resets others too")
    return chain


def _ordered(logic):
    """Items so that each comes after those that drive its inputs.

    Raises
    ------
    ConfigError
        There is a loop.
    """
    producer = {bit: index for index, item in enumerate(logic) for bit in item.outputs}
    waiting  = [{producer[bit] for bit in item.inputs if bit in producer} for item in logic]
    users    = {}
    for index, needs in enumerate(waiting):
        for need in needs:
            users.setdefault(need, []).append(index)
    ready, order = [index for index, needs in enumerate(waiting) if not needs], []
    while ready:
        index = ready.pop()
        order.append(logic[index])
        for user in users.get(index, ()):
            waiting[user].discard(index)
            if not waiting[user]:
                ready.append(user)
    if len(order) != len(logic):
        raise ConfigError("the netlist has a combinational loop")
    return order


def transpose(words, bits):
    """Words of all streams, one integer each, to `bits` integers of one bit a stream."""
    return [sum((word >> bit & 1) << stream for stream, word in enumerate(words)) for bit in range(bits)]
