# SPDX-License-Identifier: BSD-2-Clause
"""The devices that designs are measured on: their tools, and what each cell occupies in LUTs.

LUT is what a cell takes of the device's LUT sites. ECP5: LUT4 1, CCU2C 2, TRELLIS_DPR16X4 6 (four for the bits, two for
the write port). Gowin: LUT1…4 and ALU 1, RAM16SDP4 6 (as the vendor's slice). iCE40: SB_LUT4 1, and a carry without a
LUT beside it 1 (in what the placer uses). 7-series: LUT1…6, an
inverter and a shift register 1, RAM32M 4; a CARRY4's inputs are LUTs already or wires.
Wide multiplexers (PFUMX, L6MUX21, MUX2_LUT5, MUXF7) sit between LUTs and take none.
"""

from dataclasses import dataclass, field, replace

from mixpe_gateware.contract.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Target:
    """One device and its tools.

    Attributes
    ----------
    name : str
        Device, package-independent.
    family : str
        What the designs call `target` when they use this family's primitives.
    synthesis : str
        Yosys command; ``{dsp}`` is replaced by the option that forbids or allows DSP blocks.
    no_dsp, with_dsp : str
        That option, and the one that allows them.
    place_and_route : tuple of str
        nextpnr command line before ``--json``; empty when there is only synthesis.
    luts, flip_flops, dsps, block_rams : dict of str to float
        What a cell of a type takes. A type ending in ``*`` is a prefix.
    lut_total, dsp_total, flip_flop_total, block_ram_total : int
        What the device has. The last two say how many units fit, and are not of what a measurement depends on.
    asked_mhz : int
        The frequency that nextpnr is asked for: out of reach, since it stops trying where the target is met.
    sites : dict of str to int
        What a used site of nextpnr's report counts in placed LUTs; empty where sites serve other ends too.
    flip_flops_take_sites : bool
        A flip-flop without a LUT before it takes a LUT site: those of the harness are subtracted.
    constraints : str
        Text of the file ``pins.cst`` that the command line names: places of the harness' three pins.
    """

    name: str
    family: str
    synthesis: str
    no_dsp: str
    place_and_route: tuple
    luts: dict
    flip_flops: dict
    dsps: dict
    block_rams: dict
    lut_total: int
    dsp_total: int
    with_dsp: str = ""
    asked_mhz: int = 400
    sites: dict = field(default_factory=dict)
    flip_flops_take_sites: bool = False
    constraints: str = ""
    flip_flop_total: int = field(repr=False)
    block_ram_total: int = field(repr=False)


def _ecp5(size, option, luts, dsps, block_rams):
    return Target(
        name=f"LFE5U-{size}F-6", family="ecp5",
        synthesis="synth_ecp5 -abc9 {dsp} -top top", no_dsp="-nodsp",
        place_and_route=("nextpnr-ecp5", option, "--speed", "6", "--package", "CABGA381",
                         "--lpf-allow-unconstrained", "--timing-allow-fail"),
        luts={"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
        flip_flops={"TRELLIS_FF": 1},
        dsps={"MULT18X18D": 1, "ALU54B": 0},
        block_rams={"DP16KD": 1, "PDPW16KD": 1},
        lut_total=luts, dsp_total=dsps, sites={"TRELLIS_COMB": 1}, flip_flop_total=luts, block_ram_total=block_rams)


ROUTERS    = ("router1", "router2")
GOWIN_PINS = 'IO_LOC "sys_clk" H11;\nIO_LOC "serial" L14;\nIO_LOC "clear" L16;\n'


TARGETS = {target.name: target for target in (
    _ecp5(25, "--25k", 24288, 28, 56),
    _ecp5(45, "--45k", 43848, 72, 108),
    _ecp5(85, "--85k", 83640, 156, 208),
    Target(
        name="GW2A-18", family="gowin",
        synthesis="synth_gowin -family gw2a {dsp} -top top", no_dsp="-nodsp",
        place_and_route=("nextpnr-himbaechel", "--device", "GW2A-LV18PG256C8/I7",
                         "--vopt", "family=GW2A-18", "--vopt", "cst=pins.cst", "--timing-allow-fail"),
        luts={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "ALU": 1, "RAM16SDP4": 6},
        flip_flops={"DFF*": 1},
        dsps={"MULT18X18": 1, "MULT9X9": 0.5, "MULT36X36": 4},  # in blocks of 18 bits
        block_rams={"SDPB": 1, "SDPX9B": 1, "DPB": 1},
        lut_total=20736, dsp_total=48, asked_mhz=600, constraints=GOWIN_PINS,
        flip_flop_total=15552, block_ram_total=46),
    Target(
        name="iCE40UP5K", family="ice40",
        synthesis="synth_ice40 -device u {dsp} -top top", no_dsp="", with_dsp="-dsp",
        place_and_route=("nextpnr-ice40", "--up5k", "--package", "sg48", "--pcf-allow-unconstrained",
                         "--timing-allow-fail"),
        luts={"SB_LUT4": 1},
        flip_flops={"SB_DFF*": 1},
        dsps={"SB_MAC16": 1},
        block_rams={"SB_RAM40_4K*": 1},
        lut_total=5280, dsp_total=8, sites={"ICESTORM_LC": 1}, flip_flops_take_sites=True,
        flip_flop_total=5280, block_ram_total=30),
    Target(
        name="XC7", family="xilinx",
        synthesis="synth_xilinx -family xc7 -noiopad {dsp} -top top", no_dsp="-nodsp",
        place_and_route=(),
        luts={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1, "LUT5": 1, "LUT6": 1, "INV": 1, "SRL16E": 1, "SRLC32E": 1,
              "RAM32M": 4, "RAM32X1D": 2, "RAM64M": 4},
        flip_flops={"FDRE": 1, "FDSE": 1, "FDCE": 1, "FDPE": 1},
        dsps={"DSP48E1": 1},
        block_rams={"RAMB18E1": 0.5, "RAMB36E1": 1},
        lut_total=63400, dsp_total=240, flip_flop_total=126800, block_ram_total=135),
)}


def find_target(name):
    """Target by name.

    Raises
    ------
    ConfigError
    """
    if name not in TARGETS:
        raise ConfigError(f"unknown target {name!r}; known: {', '.join(TARGETS)}")
    return TARGETS[name]


def routed_by(target, router):
    """The target with another router of nextpnr; as it is if None.

    ``router2`` ends on arrays that fill most of a device, where the default of ECP5, router1, takes hours.

    Raises
    ------
    ConfigError
    """
    if router is None:
        return target
    if router not in ROUTERS or not target.place_and_route:
        raise ConfigError(f"router must be one of {', '.join(ROUTERS)}, for a target that is routed, not {router!r} "
                          f"for {target.name}")
    return replace(target, place_and_route=(*target.place_and_route, "--router", router))


def count(cells, weights):
    """What `cells` (type to number) take, by `weights`."""
    total = 0
    for kind, number in cells.items():
        for name, weight in weights.items():
            if kind == name or name.endswith("*") and kind.startswith(name[:-1]):
                total += weight*number
    return total
