# SPDX-License-Identifier: BSD-2-Clause
"""What language models would take on a board whose device has the decoder: a model, not a measurement.

    program  as for the device, from the model's shapes
    device   cycles of `contract.program.timing` at the board's clock
    link     the driver's own requests for a run of some tokens over a wire of the board's speed (`virtual`)
"""

from dataclasses import asdict, dataclass

from mixpe.bench.board import BITS, BoardModel
from mixpe.devices.driver import driver_of
from mixpe.devices.run import Run
from mixpe.errors import ConfigError
from mixpe.lm.fit import Rounding
from mixpe.lm.generation import RUN_TOKENS
from mixpe.lm.ondevice import compile_parts
from mixpe.program.cycles import by_function, timeline

POSITION = 255  # of the token, or the middle of a shorter context
ID_BYTES = 4    # of a token


@dataclass(frozen=True, kw_only=True)
class DecoderRow:
    """A model on a board, its decoder on the device. Seconds and bytes are of one token.

    Attributes
    ----------
    position : int
        Of the token.
    needed_bytes : int
        Of memory, for weights, what lies beside them, the program and a session of twice as many positions.
    functions : dict of str → float
        Cycles by what a pass's records do.
    link_s : float
        With what is added by waiting for answers.
    mb_per_s : float
        Of the memory's pins.
    """

    board: str
    model: str
    position: int
    weight_bytes: int
    needed_bytes: int
    mem_bytes: int
    clock_hz: float
    cycles: float
    array: float
    functions: dict
    link_s: float
    link_bytes: float
    mb_per_s: float

    @property
    def fits(self):
        return self.needed_bytes <= self.mem_bytes

    @property
    def device_s(self):
        return self.cycles/self.clock_hz

    @property
    def token_s(self):
        return self.device_s + self.link_s

    @property
    def per_gb_s(self):
        """Tokens a second for each GB/s of the memory's pins."""
        return 1000/self.token_s/self.mb_per_s

    def to_dict(self):
        """For JSON."""
        return {**asdict(self), "modelled": True, "fits": self.fits, "token_s": self.token_s,
            "tokens_per_s": 1/self.token_s, "device_tokens_per_s": 1/self.device_s, "per_gb_s": self.per_gb_s}


class DecoderModel(BoardModel):
    """A board whose device has the decoder.

    Parameters
    ----------
    board : mixpe_boards.board.Board
        As it is built without one.
    options
        Of `BoardModel`; `activations` may be left out: A16, or A8 with a shift a group where a token is one row.

    Raises
    ------
    ConfigError
        The board has no room for it.
    """

    def __init__(self, board, *, activations=None, **options):
        built = board.changed(decoder=True)
        super().__init__(built, activations=activations or ("a8g" if built.config.rows == 1 else "a16"), **options)
        self._link = None

    def program(self, model):
        """A model compiled for the board, for a session of twice `POSITION`, or the model's context.

        Raises
        ------
        ConfigError
            The board's device cannot run it.
        """
        context = min(2*(POSITION + 1), model.architecture.max_position_embeddings)
        return compile_parts(model.architecture, model.parts(), model.table, self.board.config,
            Rounding(BITS, self.group_size), self.activations, context)

    def link_cost(self):
        """Of one token of a run: (seconds, bytes)."""
        if self._link is None:
            device, wire  = self.open(4 << 20)
            before, start = device.link_bytes(), wire.end
            driver = driver_of(device)
            driver.run_program(Run(program_addr=0, tokens_addr=0, state_addr=0, state_bytes=0, token=0, position=0,
                identity=0, count=RUN_TOKENS, prompt=False, listed=False, more=False, limit_cycles=1))
            driver.transfer.download(0, RUN_TOKENS*ID_BYTES, driver.verify == "all")
            after = device.link_bytes()
            moved = sum(after[way] - before[way] for way in ("sent", "received"))
            self._link = (wire.end - start)/RUN_TOKENS, moved/RUN_TOKENS
        return self._link

    def row(self, model):
        """A model on this board: DecoderRow, or None where the device cannot run it."""
        try:
            program = self.program(model)
        except ConfigError:
            return None
        position = min(POSITION, program.context//2)
        found    = timeline(program, self.board.config, self.timing, position)
        weights  = sum(sum(matrix.plan.stream_bytes) for matrix in program.matrices.values())
        link_s, link_bytes = self.link_cost()
        return DecoderRow(board=self.board.name, model=model.name, position=position, weight_bytes=weights,
            needed_bytes=weights + program.constants.size + program.bytes + program.session.size,
            mem_bytes=self.mem_bytes, clock_hz=self.clock_hz, cycles=found.cycles, array=found.array,
            functions=by_function(program, found), link_s=link_s, link_bytes=link_bytes,
            mb_per_s=self.board.memory_mbps)
