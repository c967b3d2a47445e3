# SPDX-License-Identifier: BSD-2-Clause
"""What language models would take on a board: a model, not a measurement.

    jobs     those that `mixpe.plan` cuts a layer into for any device
    device   cycles of `contract.timing` at the board's clock, with the memory's rate as measured in simulation, or
             assumed from that where such a memory was not simulated
    link     the driver's own requests and checks over a wire of the board's speed (`virtual`)
    sum      `mixpe.lm.deployment.Deployment`, which also models what `mixpe generate` has counted

Nothing overlaps, as there. Attention, normalisation and sampling are the host's and are not in it; for boards whose
device has the decoder see `ondevice`.
"""

from dataclasses import asdict, dataclass

import numpy as np

from mixpe.bench.virtual import TURN_S, NullCall, NullDevice, open_virtual
from mixpe.devices.device import Device
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError
from mixpe.lm.deployment import LINKS, Deployment
from mixpe.lm.fit import Part, Rounding
from mixpe.lm.statistics import Phase
from mixpe.plan.kinds import KINDS
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.quant.checks import group_span
from mixpe_gateware.contract.timing import memory_timing

MEM_ROOM   = 64 << 20   # beside the largest layer, in the device that only counts
LOAD_BYTES = 256 << 10  # of an upload, to find its rate
BITS       = 4          # of weights that are stored as floats; the array takes so many at a time
SIMULATED  = {("sdr", 1): "SDR at 1:1", ("ddr3", 2): "DDR3 at 1:2", ("ddr3", 4): "DDR3 at 1:4"}  # kind, ratio


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model on a board. Seconds are of one decoded token; `prefill_s` is of one token of a prompt.

    Attributes
    ----------
    link_s : float
        Bytes at the link's rate.
    turn_s : float
        What is added by waiting for answers and by the bridge.
    """

    board: str
    model: str
    weight_bytes: int
    mem_bytes: int
    load_s: float
    array_s: float
    memory_s: float
    link_s: float
    turn_s: float
    link_bytes: int
    jobs: int
    prompt: int
    prefill_s: float | None

    @property
    def fits(self):
        return self.weight_bytes <= self.mem_bytes

    @property
    def device_s(self):
        """Of a token on the device: what would remain without the link."""
        return self.array_s + self.memory_s

    @property
    def token_s(self):
        return self.device_s + self.link_s + self.turn_s

    def to_dict(self):
        """For JSON."""
        return {**asdict(self), "modelled": True, "fits": self.fits, "token_s": self.token_s,
            "tokens_per_s": 1/self.token_s, "device_tokens_per_s": 1/self.device_s,
            "link_share": (self.link_s + self.turn_s)/self.token_s}


def memory_source(board):
    """How the rate of a board's memory is known: (measured, text)."""
    if (board.memory.kind, board.memory.ratio) in SIMULATED:
        return True, "as in simulation"
    return False, f"assumed from {SIMULATED['sdr', 1]}, which was simulated"


def clock_of(board, results, link=None):
    """The clock that a bitstream with some link runs at, and how that is known: (Hz, str)."""
    from mixpe_boards.table import current_result
    known = current_result(board, results, link)
    if known is None or "fmax_mhz" not in known:
        return board.clock_hz, "the clock that it is built for; not routed"
    fmax = known["fmax_mhz"]
    if known["timing_met"]:
        return board.clock_hz, f"routed with open tools, which reach {fmax:.1f} MHz"
    return min(board.clock_hz, 1e6*fmax), f"as routed; it is meant for {board.clock_hz/1e6:g} MHz"


def link_of(board, kind):
    """Name in `LINKS` of a board's link: its kind is ``"uart"`` or ``"etherbone"``."""
    if kind not in board.links:
        raise ConfigError(f"{board.title} has no link {kind!r}; it has {', '.join(board.links)}")
    if kind == "etherbone":
        return f"ethernet-{board.ethernet}"
    rates = {10*rate: name for name, rate in LINKS.items() if name.startswith("serial-")}
    if board.baudrate not in rates and round(board.baudrate, -3) not in rates:
        raise ConfigError(f"no link of {board.baudrate} baud is known; there are {', '.join(LINKS)}")
    return rates.get(board.baudrate) or rates[round(board.baudrate, -3)]


class BoardModel:
    """A board with a link.

    Parameters
    ----------
    board : mixpe_boards.board.Board
    link : str, optional
        ``"uart"`` or ``"etherbone"``; the board's first.
    results : dict
        Of `mixpe_boards.table.load_results`.
    group_size : int
    activations : str
        One of `plan.kinds`.

    Attributes
    ----------
    memory_measured : bool
        The rate of such a memory was measured in simulation; otherwise `memory_text` says what it is taken from.

    Raises
    ------
    ConfigError
        The board has no such link.
    """

    def __init__(self, board, *, link=None, results, group_size=128, activations="a8"):
        self.board = board
        self.kind  = link or board.links[0]
        self.link  = link_of(board, self.kind)
        self.group_size, self.activations = group_size, activations
        self.clock_hz, self.clock_text = clock_of(board, results, self.kind)
        self.mem_bytes = board.memory.size_bytes
        # The memory runs at the clock that the board is built for.
        self.timing = memory_timing(board.config, 1e6*board.memory_mbps/board.clock_hz)
        self.memory_measured, self.memory_text = memory_source(board)
        self.turn_s = TURN_S[self.kind]

    def open(self, mem_bytes):
        """A device that does nothing behind the board's link: (Device, Wire)."""
        far  = NullDevice(self.board.config, mem_bytes, int(self.clock_hz), self.timing)
        link, wire = open_virtual(self.kind, far, baudrate=10*LINKS[self.link], clock_hz=self.clock_hz,
            ethernet_bytes_per_s=LINKS.get(self.link), framed=self.board.framed_on(self.kind))
        return Device(link, f"a virtual {self.board.name}"), wire

    def load_rate(self):
        """Bytes of weights a second, checked by the device's checksums."""
        device, wire = self.open(4 << 20)
        start = wire.end
        driver_of(device).transfer.upload(0, np.zeros(LOAD_BYTES, np.uint8), True)
        return LOAD_BYTES/(wire.end - start)


class GenerationModel(BoardModel):
    """The same with models whose linear layers alone are on the device."""

    def __init__(self, board, **options):
        super().__init__(board, **options)
        self.sum    = Deployment(self.clock_hz, self.link)
        self._known = {}

    def plan(self, shape):
        """How a layer of a model is cut for this board: LayerPlan."""
        config = self.board.config
        bits, group_size, form, _ = Part(shape.n, shape.k, shape.stored, None).form(
            Rounding(BITS, self.group_size), config.minima)
        wanted = LayerShape(n=shape.n, k=shape.k, span=group_span(group_size, shape.k), planes=bits//BITS, form=form)
        kind   = KINDS[self.activations]
        return LayerPlan(wanted, config, wide=kind.wide, shift=kind.shift)

    def _run(self, shape, tokens):
        """One layer: bytes each way, counters, seconds on the link; its weights' bytes."""
        key = shape.n, shape.k, shape.stored, tokens
        if key not in self._known:
            room   = shape.n*shape.k + MEM_ROOM
            device, wire = self.open(-(-room//4096)*4096)
            layer  = self.plan(shape)
            driver = driver_of(device)
            addrs  = [driver.memory.allocate(size) for size in layer.stream_bytes]
            plan   = layer.call(tokens, out_bytes_max=driver.out_bytes_max, room_bytes=driver.memory.largest_bytes)
            before, start = device.link_bytes(), wire.end
            driver.execute([NullCall(plan, addrs)])
            after, seconds = device.link_bytes(), wire.end - start
            self._known[key] = (after["sent"] - before["sent"], after["received"] - before["received"],
                device.counters(), seconds, sum(layer.stream_bytes))
        return self._known[key]

    def _phase(self, model, tokens):
        """All layers of a model for so many tokens: Phase, seconds on the link, jobs."""
        sent = received = cycles = busy = jobs = 0
        seconds = 0.0
        for shape in model.shapes():
            up, down, counters, spent, _ = self._run(shape, tokens if shape.each_token else 1)
            sent, received = sent + shape.count*up, received + shape.count*down
            cycles, busy   = cycles + shape.count*counters["cycles"], busy + shape.count*counters["busy"]
            jobs, seconds  = jobs + shape.count*counters["jobs"], seconds + shape.count*spent
        phase = Phase(tokens=tokens, seconds=0.0, linear_s=0.0, sent_bytes=sent, received_bytes=received,
            counters={"cycles": cycles, "busy": busy})
        return phase, seconds, jobs

    def row(self, model, prompt=0):
        """A model on this board; `prompt` tokens in prefill, 0 leaves that out.

        Returns
        -------
        Row
        """
        phase, seconds, jobs = self._phase(model, 1)
        parts   = self.sum.seconds(phase)
        weights = sum(shape.count*self._run(shape, 1)[4] for shape in model.shapes())
        prefill = None
        if prompt:
            many, spent, _ = self._phase(model, prompt)
            found   = self.sum.seconds(many)
            prefill = found["array"] + found["memory"] + max(found["link"], spent/prompt)
        return Row(board=self.board.name, model=model.name, weight_bytes=weights, mem_bytes=self.mem_bytes,
            load_s=weights/self.load_rate(), array_s=parts["array"], memory_s=parts["memory"], link_s=parts["link"],
            turn_s=max(0.0, seconds - parts["link"]), link_bytes=phase.link_bytes, jobs=jobs, prompt=prompt,
            prefill_s=prefill)
