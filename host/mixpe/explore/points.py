# SPDX-License-Identifier: BSD-2-Clause
"""One point of the exploration: a design with its parameters, rows, group size and target; and what it costs."""

from dataclasses import dataclass, field

from mixpe.explore.built import array_of, encoder_of, unit_of
from mixpe.explore.cost.cache import Cache
from mixpe.explore.cost.flow import content_of, measure_verilog
from mixpe.explore.cost.harness import harness_verilog
from mixpe.explore.cost.targets import find_target
from mixpe.tools import NotMeasured, tool_version
from mixpe_gateware.baselines import DESIGNS
from mixpe_gateware.contract.errors import ConfigError, MixpeError

LIMIT_S  = 3600
MEASURED = ("luts", "placed_luts", "flip_flops", "dsps", "block_rams", "fmax_mhz", "fmax_by_seed", "tools",
    "multipliers")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A design to measure.

    Parameters
    ----------
    design : str
        A name of `mixpe_gateware.baselines.DESIGNS`.
    parameters : dict
        Of the design; `target` is chosen by `device` unless given.
    rows : int
        1 measures a unit with its group accumulator, more the SoC's array of that design.
    group_size : int
    accumulator_bits : int or None
        Width of a unit's group sums; exact if None.
    part : str
        ``"unit"``, or ``"encoder"`` for what writes the design's activations.
    device : str
        A name of `mixpe.explore.cost.TARGETS`.
    seeds : tuple of int
        Empty for area only.
    router : str or None
        Of nextpnr; its own choice if None.
    """

    design: str
    parameters: dict = field(default_factory=dict)
    rows: int = 1
    group_size: int = 128
    accumulator_bits: int | None = None
    part: str = "unit"
    device: str = "LFE5U-85F-6"
    seeds: tuple = (1, 2, 3)
    router: str | None = None

    @property
    def label(self):
        options = ",".join(f"{name}={value}" for name, value in self.parameters.items())
        bits = "" if self.accumulator_bits is None else f" A={self.accumulator_bits}"
        part = "" if self.part == "unit" else f" {self.part}"
        router = f" {self.router}" if self.router else ""
        return f"{self.design}{part}({options}) R={self.rows} G={self.group_size}{bits} {self.device}{router}"

    def build(self):
        """What is measured: `Built`.

        Raises
        ------
        ConfigError
            Unknown design, or parameters, a part or a shape that it does not have.
        """
        if self.design not in DESIGNS:
            raise ConfigError(f"unknown design {self.design!r}; known: {', '.join(DESIGNS)}")
        design = DESIGNS[self.design]
        unknown = set(self.parameters) - set(design.options())
        if unknown:
            raise ConfigError(f"{self.design} has no parameter {sorted(unknown)[0]!r}; it has {design.options()}")
        params = design(**self.parameters)
        if self.part == "encoder":
            return encoder_of(params)
        if self.part != "unit":
            raise ConfigError(f"part must be unit or encoder, not {self.part!r}")
        if self.rows == 1:
            return unit_of(params, self.group_size, self.accumulator_bits)
        if self.accumulator_bits is not None:
            raise ConfigError(f"sums of an array hold its longest group: no accumulator_bits={self.accumulator_bits}")
        return array_of(params, self.rows)


def columns_of(point):
    """The columns of a result row that say which point it is."""
    return {"design": point.design, **{f"p_{name}": value for name, value in point.parameters.items()},
            "rows": point.rows, "group_size": point.group_size, "accumulator_bits": point.accumulator_bits,
            "part": point.part, "device": point.device, **({"router": point.router} if point.router else {})}


def synthesis_of(params):
    """(use_dsp, multiplies) of `measure_verilog` for a design's parameters."""
    return getattr(params, "dsp", False), params.multiplies


def _asked(point):
    """The tools and seeds that an error came of; none where there is no such target or tool."""
    try:
        target = find_target(point.device)
        return {"tools": {"yosys": tool_version("yosys"),
                          **({"nextpnr": tool_version(target.place_and_route[0])} if target.place_and_route else {})},
                "seeds": list(point.seeds)}
    except MixpeError:
        return {}


def evaluate(point, cache_folder=None, limit_s=LIMIT_S, known=None):
    """Measure a point. An error of the point is in the row, not raised, so that an exploration goes on.

    Parameters
    ----------
    point : Point
    cache_folder : str, optional
    limit_s : float
        For each run of a tool; 0 lets none run.
    known : dict of str to dict, optional
        Earlier rows by their ``content``: those that have all of the point's seeds, or any where no
        tool may run, are not measured again.

    Returns
    -------
    dict
        ``status`` is ``"ok"`` or the name of an error with its text in ``error``; the other columns describe the point
        and, when ok, its cost. ``content`` is the digest of what the cost depends on.
    """
    row = columns_of(point)
    try:
        built  = point.build()
        params = built.params
        verilog, flip_flops = harness_verilog(built.module, built.inputs, built.outputs)
        use_dsp, multiplies = synthesis_of(params)
        content = content_of(verilog, point.device, use_dsp, multiplies, point.router)
        found   = (known or {}).get(content)
        if found is None or not set(map(str, point.seeds)) <= set(found["fmax_by_seed"]):
            try:
                cost  = measure_verilog(verilog, flip_flops, point.device, point.seeds, use_dsp, Cache(cache_folder),
                                        limit_s, multiplies, point.router)
                found = {name: getattr(cost, name) for name in MEASURED}
            except NotMeasured:
                if found is None:
                    raise
    except MixpeError as error:
        return row | {"status": type(error).__name__, "error": str(error), **_asked(point)}
    # Two designs may be one netlist: what was measured is of the content, all else of the point.
    measured = {name: found[name] for name in MEASURED}
    macs, luts, fmax_mhz = params.macs_per_cycle*point.rows, measured["luts"], measured["fmax_mhz"]
    return row | {
        "status": "ok", "weights": params.weight_format, "activations": params.activation_format,
        "macs_per_cycle": macs, "latency_cycles": built.module.latency, **measured,
        "fmax_by_seed": {str(seed): fmax for seed, fmax in measured["fmax_by_seed"].items()},
        "luts_per_mac": luts/macs,
        "mmacs_per_s_per_lut": macs*fmax_mhz/luts if fmax_mhz else None,
        "content": content,
    }
