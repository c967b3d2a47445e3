# SPDX-License-Identifier: BSD-2-Clause
"""Puts registers around a unit and leaves it three pins, so that only register to register paths are timed.

Inputs come from one long shift register, so that nothing is constant. It has a reset, which no register of a unit has
from that pin: else a unit's input register, which holds what the next place of the shift register holds, would be
merged with it and go uncounted. Every output goes to a register of its own that is kept although nothing reads it. The
harness has no LUT: what is counted is the unit's; its flip-flops are subtracted (`flip_flops`). The clock is on a pin,
so it uses a global buffer as in a real design.
"""

import re

from migen import Cat, ClockDomain, If, Module, Signal
from migen.fhdl import verilog

RESULT_ATTRIBUTE = "keep"


class Harness(Module):
    """`inputs` and `outputs` are signals of `unit`."""

    def __init__(self, unit, inputs, outputs):
        self.submodules.unit = unit
        self.serial = Signal()
        self.clear  = Signal()
        self.clock_domains.cd_sys = ClockDomain(reset_less=True)
        bits_in  = sum(len(signal) for signal in inputs)
        bits_out = sum(len(signal) for signal in outputs)
        self.flip_flops = bits_in + bits_out
        self.pins = {self.serial, self.clear, self.cd_sys.clk}

        # # #

        shift  = Signal(bits_in, reset_less=True)
        result = Signal(bits_out, reset_less=True, attr={RESULT_ATTRIBUTE})
        self.sync += [
            shift.eq(Cat(self.serial, shift)),
            If(self.clear, shift.eq(0)),
            result.eq(Cat(*outputs)),
        ]
        self.comb += Cat(*inputs).eq(shift)


class KeepAttribute:
    """Migen's attribute names to Verilog attributes."""

    def __getitem__(self, name):
        return ("keep", "1") if name == RESULT_ATTRIBUTE else None


def _with_contents(text):
    """Verilog with the contents of its memories in it, which Migen appends as files."""
    text, *files = re.split(r"^(\w+\.init):$", text, flags=re.MULTILINE)
    for name, words in zip(files[0::2], files[1::2], strict=True):
        def written(call, words=words):
            return " ".join(f"{call[1]}[{index}] = 'h{word};" for index, word in enumerate(words.split()))
        text, found = re.subn(rf'\$readmemh\("{name}", (\w+)\);', written, text)
        assert found == 1, name
    return text


def harness_verilog(unit, inputs, outputs):
    """Verilog text of a harness around `unit`, and the number of flip-flops that belong to the harness."""
    harness = Harness(unit, inputs, outputs)
    text = str(verilog.convert(harness, harness.pins, name="top", attr_translate=KeepAttribute()))
    return _with_contents(text[text.index("module top"):]), harness.flip_flops
