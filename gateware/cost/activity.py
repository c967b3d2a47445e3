# SPDX-License-Identifier: BSD-2-Clause
"""Energy proxy: toggles of the synthesised ECP5 netlist, weighted by what drives the net.

The netlist of the cost flow is simulated cell by cell, without delays (so without glitches), many independent streams
at once: a net's value is an integer with one bit a stream. Every change of a net counts with its driver's weight; every
flip-flop also counts its clock. The harness' own registers are left out. The unit is that of one LUT output's toggle:
good for comparing designs on one fabric, not for watts. Netlists with DSP blocks or RAM are refused, since a toggle of
a hard block's pin says nothing about what it took inside.
"""

import json

from mixpe.gateware.spec.errors import ConfigError

WEIGHTS = {"LUT4": 1.0, "PFUMX": 0.5, "L6MUX21": 0.5, "CCU2C": 1.0, "carry": 0.25, "TRELLIS_FF": 0.5}
CLOCK_WEIGHT = 0.1  # of a flip-flop's clock pin, each cycle
CARRY_PORT = "COUT"


def lut(init, a, b, c, d, ones):
    """Outputs of a LUT4 for bit-parallel inputs."""
    level = [ones if init >> index & 1 else 0 for index in range(16)]
    for select in (a, b, c, d):
        level = [low & ~select | high & select for low, high in zip(level[0::2], level[1::2], strict=True)]
    return level[0]


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
        self.inputs = module["netnames"]["shift"]["bits"]
        self.output_bits = module["netnames"]["result"]["bits"]
        self.weights, self.drivers = {}, {}
        self.flip_flops, logic = [], []
        harness = set(self.inputs) | set(self.output_bits)
        for name, cell in module["cells"].items():
            kind, pins = cell["type"], {port: bits[0] for port, bits in cell["connections"].items() if bits}
            if kind == "TRELLIS_IO":
                continue
            if kind not in WEIGHTS:
                raise ConfigError(f"cell {name} is a {kind}: the energy proxy knows {', '.join(WEIGHTS)}")
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
        self.logic = _ordered(logic)
        self.own_flip_flops = sum(pins["Q"] not in harness for pins, _ in self.flip_flops)
        for bit in self.weights:
            self.values.setdefault(bit, 0)
        for bit in self.inputs:
            self.values[bit] = 0
        self.energy = 0.0

    def step(self, stimulus):
        """One clock cycle with the given input bits (a list of integers in the order of ``shift``).

        Afterwards `outputs` are those of this cycle's `result` register, and `energy` has grown.
        """
        values, ones = self.values, self.ones
        before = dict(values)
        for bit, value in zip(self.inputs, stimulus, strict=True):
            values[bit] = value
        for kind, pins, init in self.logic:
            if kind == "LUT4":
                values[pins["Z"]] = lut(init["INIT"], *(values.get(pins.get(port, "0"), 0) for port in "ABCD"), ones)
            elif kind == "CCU2C":
                carry = values.get(pins.get("CIN", "0"), 0)
                for half in "01":
                    a, b, c, d = (values.get(pins.get(port + half, "0"), 0) for port in "ABCD")
                    propagate = lut(init["INIT" + half], a, b, c, d, ones)
                    if "S" + half in pins:
                        values[pins["S" + half]] = propagate ^ carry
                    carry = ~propagate & lut(init["INIT" + half], a, b, 0, 0, ones) & ones | propagate & carry
                if CARRY_PORT in pins:
                    values[pins[CARRY_PORT]] = carry
            else:
                select, low, high = ((pins["C0"], pins["ALUT"], pins["BLUT"]) if kind == "PFUMX"
                                     else (pins["SD"], pins["D0"], pins["D1"]))
                if kind == "PFUMX":  # C0 selects ALUT
                    low, high = high, low
                choose = values[select]
                values[pins["Z"]] = values[low] & ~choose & ones | values[high] & choose
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
        toggles = sum(weight*(before[bit] ^ values[bit]).bit_count() for bit, weight in self.weights.items()
                      if bit not in later)
        toggles += sum(self.weights[bit]*(values[bit] ^ value).bit_count() for bit, value in later.items())
        self.energy += toggles + CLOCK_WEIGHT*self.own_flip_flops*self.ones.bit_count()
        values.update(later)

    @property
    def outputs(self):
        """Bits of the result register, an integer of all streams each."""
        return [self.values.get(bit, 0) for bit in self.output_bits]


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
