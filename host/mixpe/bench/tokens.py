# SPDX-License-Identifier: BSD-2-Clause
"""Where the cycles of a token go, the decoder on the device: counted on a simulated one, and modelled for boards."""

from dataclasses import asdict, dataclass

import numpy as np

from mixpe.bench.boardtable import aligned
from mixpe.devices.driver import driver_of
from mixpe.lm import LlamaModel
from mixpe.program.cycles import by_function, timeline
from mixpe_gateware.contract.program.timing import RUN_CYCLES
from mixpe_gateware.contract.timing import memory_timing

POSITIONS = (0, 127, 255)
TOKEN     = 65
ENGINES   = {"array": "busy", "vector": "busy_vector", "attention": "busy_attention"}


@dataclass(frozen=True, kw_only=True)
class TokenRow:
    """One token.

    Attributes
    ----------
    model, place : str
        Of what, and where.
    position : int
    cycles : float
        Modelled.
    functions : dict of str → float
        Of them, by what records do.
    counted : dict of str → int or None
        Cycles as a device counted them: ``cycles`` and those in which engines work; None: no device was there.
    """

    model: str
    place: str
    position: int
    cycles: float
    functions: dict
    counted: dict | None = None

    @property
    def prediction_error(self):
        """Modelled over counted cycles, less one; None without a device."""
        return None if self.counted is None else self.cycles/self.counted["cycles"] - 1

    def to_dict(self):
        """For JSON."""
        return {**asdict(self), "prediction_error": self.prediction_error}


def count_tokens(device, positions=POSITIONS):
    """Run the packaged model's decoder on a simulated device, one token at each position: list of TokenRow."""
    found, config = [], device.config
    with LlamaModel.from_pretrained(None, device, decoder="device") as model, model.session() as session:
        program = session.program
        driver_of(device).write_memory(session._region.state_addr, np.zeros(program.session.size, np.uint8))
        for position in positions:
            session.tokens = [0]*position  # zeros are in the cache, which take the time of all others
            before = device.counters()
            session.go_on(TOKEN, 1)
            after  = device.counters()
            spent  = {name: after[name] - before[name] for name in after}
            modelled = timeline(program, config, memory_timing(config), position)
            found.append(TokenRow(model="mixpe", place="simulated SoC", position=position,
                cycles=modelled.cycles + RUN_CYCLES, functions=by_function(program, modelled),
                counted={"cycles": spent["cycles"], **{name: spent[event] for name, event in ENGINES.items()}}))
    return found


def board_tokens(models, boards):
    """Modelled tokens.

    Parameters
    ----------
    models : list of models.Model
    boards : list of ondevice.DecoderModel

    Returns
    -------
    list of TokenRow
    """
    rows = [board.row(model) for model in models for board in boards]
    return [TokenRow(model=row.model, place=row.board, position=row.position, cycles=row.cycles,
        functions=row.functions) for row in rows if row is not None and row.fits]


def tokens_text(rows):
    """The counted ones, a line each."""
    cells = [(row.model, str(row.position), str(row.counted["cycles"]), f"{row.prediction_error:+.2%}",
              *(f"{row.counted[name]/row.counted['cycles']:.1%}" for name in ENGINES))
             for row in rows if row.counted is not None]
    return aligned(("a token of", "position", "cycles", "model", *ENGINES), cells)
