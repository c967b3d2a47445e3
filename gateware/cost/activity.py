# SPDX-License-Identifier: BSD-2-Clause
"""Energy proxy: toggles of the synthesised ECP5 netlist, weighted by what drives the net.

The netlist of the cost flow is simulated cell by cell, without delays (so without glitches), many independent streams
at once: a net's value is an integer with one bit a stream. Every change of a net counts with its driver's weight; every
flip-flop also counts its clock. LUT RAM counts its read outputs as LUTs', each bit that a write changes as a
flip-flop's, and its clock. The harness' own registers are left out. The unit is that of one LUT output's toggle: good
for comparing designs on one fabric, not for watts. Netlists with DSP blocks or block RAM are refused, since a toggle of
a hard block's pin says nothing about what it took inside.
"""

import json

from mixpe.gateware.spec.errors import ConfigError

RAM = "TRELLIS_DPR16X4"
WEIGHTS = {"LUT4": 1.0, "PFUMX": 0.5, "L6MUX21": 0.5, "CCU2C": 1.0, "carry": 0.25, "TRELLIS_FF": 0.5,
           RAM: 1.0}
CLOCK_WEIGHT = 0.1  # of a flip-flop's or LUT RAM's clock pin, each cycle
CARRY_PORT = "COUT"


def lut(init, inputs):
    """Python expression of a LUT for bit-parallel integers, all streams ``M``.

    Parameters
    ----------
    init : int
        Truth table; bit i of its index is the i-th input.
    inputs : list of str
        Expressions without side effects.

    Returns
    -------
    str
    """
    rows = 1 << len(inputs)
    if init in (0, (1 << rows) - 1):
        return "M" if init else "0"
    *rest, last = inputs
    half = 1 << len(rest)
    low, high = init & (1 << half) - 1, init >> half
    if low == high:
        return lut(low, rest)
    if low ^ high == (1 << half) - 1:
        return last if low == 0 else f"({lut(low, rest)} ^ {last})"
    zero, one = lut(low, rest), lut(high, rest)
    if low == 0:
        return f"({one} & {last})"
    if high == 0:
        return f"({zero} & ~{last})"
    if one == "M":
        return f"({zero} | {last})"
    if zero == "M":
        return f"({one} | M ^ {last})"
    return f"({zero} & ~{last} | {one} & {last})"


class Netlist:
    """A flattened ECP5 netlist that can be stepped.

    Parameters
    ----------
    text : str
        Yosys JSON of the cost flow's harness: inputs are the register ``shift``, outputs the register ``result``.
    streams : int
        Independent simulations side by side.

    Raises
    ------
    ConfigError
        The netlist has cells that are not simulated.
    """

    def __init__(self, text, streams):
        module = json.loads(text)["modules"]["top"]
        self.ones   = (1 << streams) - 1
        self.values = {"0": 0, "1": self.ones, "x": 0, "z": 0}
        names  = module["netnames"]
        if "shift" not in names or "result" not in names:
            raise ConfigError("the netlist has no registers shift and result: a signal of the unit has such a name")
        self.inputs, self.output_bits = names["shift"]["bits"], names["result"]["bits"]
        self.weights, self.drivers = {}, {}
        self.flip_flops, self.rams, logic = [], [], []
        harness = set(self.inputs) | set(self.output_bits)
        for name, cell in module["cells"].items():
            kind, pins = cell["type"], {port: bits[0] for port, bits in cell["connections"].items() if bits}
            if kind == "TRELLIS_IO":
                continue
            if kind not in WEIGHTS:
                raise ConfigError(f"cell {name} is a {kind}: the energy proxy knows {', '.join(WEIGHTS)}")
            if kind == RAM:
                ram = LutRam(cell)
                self.rams.append(ram)
                logic.append(((kind, ram, None), ram.address, ram.outputs))
                self.weights |= dict.fromkeys(ram.outputs, WEIGHTS[RAM])
                continue
            outputs = [port for port, way in cell["port_directions"].items() if way == "output" and port in pins]
            for port in outputs:
                weight = WEIGHTS["carry" if port == CARRY_PORT else kind]
                self.weights[pins[port]] = 0.0 if pins[port] in harness else weight
            if kind == "TRELLIS_FF":
                if pins["Q"] not in self.inputs:
                    self.flip_flops.append((pins, cell["parameters"]))
            else:
                item = kind, pins, {key: int(value, 2) for key, value in cell["parameters"].items() if "INIT" in key}
                logic.append((item, [pins[port] for port in pins if port not in outputs], [pins[p] for p in outputs]))
        self.own_flip_flops = sum(pins["Q"] not in harness for pins, _ in self.flip_flops)
        for bit in self.weights:
            self.values.setdefault(bit, 0)
        for bit in self.inputs:
            self.values[bit] = 0
        self.energy = 0.0
        self._evaluate = self._compiled(_ordered(logic))

    def _compiled(self, logic):
        """Function of the values that evaluates all logic in its order and returns the weighted toggles."""
        lines = ["def evaluate(v, M):", "    t = 0.0"]

        def pin(pins, port):
            bit = pins.get(port, "0")
            self.values.setdefault(bit, 0)
            return {"0": "0", "1": "M", "x": "0", "z": "0"}.get(bit, f"v[{bit}]")

        def drive(bit, expression):
            weight = self.weights[bit]
            if weight:
                lines.append(f"    a = {expression}; t += {weight}*(a ^ v[{bit}]).bit_count(); v[{bit}] = a")
            else:
                lines.append(f"    v[{bit}] = {expression}")

        for kind, pins, init in logic:
            if kind == RAM:
                index = self.rams.index(pins)
                lines.append(f"    t += {WEIGHTS[RAM]}*rams[{index}].read(v, M)")
            elif kind == "LUT4":
                drive(pins["Z"], lut(init["INIT"], [pin(pins, port) for port in "ABCD"]))
            elif kind == "CCU2C":
                lines.append(f"    c = {pin(pins, 'CIN')}")
                for half in "01":
                    inputs = [pin(pins, port + half) for port in "ABCD"]
                    lines.append(f"    p = {lut(init['INIT' + half], inputs)}")
                    if "S" + half in pins:
                        drive(pins["S" + half], "p ^ c")
                    lines.append(f"    c = {lut(init['INIT' + half], [*inputs[:2], '0', '0'])} & ~p | p & c")
                if CARRY_PORT in pins:
                    drive(pins[CARRY_PORT], "c")
            else:
                select, low, high = ("C0", "BLUT", "ALUT") if kind == "PFUMX" else ("SD", "D0", "D1")
                drive(pins["Z"], lut(0b11001010, [pin(pins, port) for port in (low, high, select)]))
        scope = {"rams": self.rams}
        exec("\n".join([*lines, "    return t"]), scope)  # the text is made above, from a netlist of our own
        return scope["evaluate"]

    def step(self, stimulus):
        """One clock cycle with the given input bits (a list of integers in the order of ``shift``).

        Afterwards `outputs` are those of this cycle's `result` register, and `energy` has grown.
        """
        values, ones = self.values, self.ones
        for bit, value in zip(self.inputs, stimulus, strict=True):
            values[bit] = value
        toggles = self._evaluate(values, ones)
        later = {}
        for pins, parameters in self.flip_flops:
            data, now = values.get(pins.get("DI", pins.get("M", "0")), 0), values[pins["Q"]]
            enable = values.get(pins.get("CE", "1"), ones) if parameters.get("CEMUX", "1") != "1" else ones
            if parameters.get("CEMUX") == "INV":
                enable ^= ones
            data = data & enable | now & ~enable & ones
            if "LSR" in pins:
                reset = values.get(pins["LSR"], 0) ^ (ones if parameters.get("LSRMUX") == "INV" else 0)
                if parameters.get("SRMODE") == "LSR_OVER_CE" or reset:
                    data = data & ~reset & ones | (reset if parameters.get("REGSET") == "SET" else 0)
            later[pins["Q"]] = data
        toggles += sum(self.weights[bit]*(values[bit] ^ value).bit_count() for bit, value in later.items())
        toggles += sum(WEIGHTS["TRELLIS_FF"]*ram.write(values, ones) for ram in self.rams)
        self.energy += toggles + CLOCK_WEIGHT*(self.own_flip_flops + len(self.rams))*self.ones.bit_count()
        values.update(later)

    @property
    def outputs(self):
        """Bits of the result register, an integer of all streams each."""
        return [self.values.get(bit, 0) for bit in self.output_bits]


class LutRam:
    """16 words of 4 bits, read at once, written at the clock.

    Raises
    ------
    ConfigError
        A clock or write enable that is inverted.
    """

    def __init__(self, cell):
        pins = cell["connections"]
        if "INV" in (cell["parameters"].get("WCKMUX"), cell["parameters"].get("WREMUX")):
            raise ConfigError("LUT RAM with an inverted clock or write enable is not simulated")
        self.address, self.outputs = pins["RAD"], pins["DO"]
        self.write_pins = pins["WAD"], pins["DI"], pins["WRE"][0]
        self.words = [[0]*16 for _ in self.outputs]  # by bit, then address

    @staticmethod
    def _selected(words, address, ones):
        for select in address:
            words = [low & ~select & ones | high & select for low, high in zip(words[0::2], words[1::2], strict=True)]
        return words[0]

    def read(self, values, ones):
        """Put what is addressed on the outputs; returns how many of their bits have changed, over all streams."""
        address = [values.get(bit, 0) for bit in self.address]
        changed = 0
        for bit, words in zip(self.outputs, self.words, strict=True):
            value = self._selected(words, address, ones)
            changed += (values.get(bit, 0) ^ value).bit_count()
            values[bit] = value
        return changed

    def write(self, values, ones):
        """The clock's edge; returns how many bits have changed, over all streams."""
        address, data, enable = self.write_pins
        enable = values.get(enable, 0)
        if not enable:
            return 0
        changed = 0
        for place in range(16):
            here = enable
            for index, bit in enumerate(address):
                value = values.get(bit, 0)
                here &= value if place >> index & 1 else ~value & ones
            for words, bit in zip(self.words, data, strict=True):
                later = words[place] & ~here & ones | values.get(bit, 0) & here
                changed += (later ^ words[place]).bit_count()
                words[place] = later
        return changed


def _ordered(logic):
    """Items so that each comes after those that drive its inputs.

    Raises
    ------
    ConfigError
        There is a loop.
    """
    producer = {bit: index for index, (_, _, outputs) in enumerate(logic) for bit in outputs}
    waiting  = [{producer[bit] for bit in inputs if bit in producer} for _, inputs, _ in logic]
    users    = {}
    for index, needs in enumerate(waiting):
        for need in needs:
            users.setdefault(need, []).append(index)
    ready, order = [index for index, needs in enumerate(waiting) if not needs], []
    while ready:
        index = ready.pop()
        order.append(logic[index][0])
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
