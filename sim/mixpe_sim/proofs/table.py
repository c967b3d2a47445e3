# SPDX-License-Identifier: BSD-2-Clause
"""All proofs, and with each a change of the design that refutes it."""

from dataclasses import dataclass

from mixpe_gateware.contract.config import Config
from mixpe_gateware.pe import BitPlaneA8, ShiftAddA8
from mixpe_gateware.stream.fanout import register_stage
from mixpe_gateware.stream.reader import Gatherer
from mixpe_gateware.stream.writer import Packer, Splitter
from mixpe_sim.proofs.arithmetic import SumOfProducts
from mixpe_sim.proofs.control import AbortsEnd, BytesEnd, CreditsCount, RegionsEnd, RegionsMeet
from mixpe_sim.proofs.memory import (
    AnswersFindTheirReader,
    JobsAreWritten,
    NothingOutsideIsWritten,
    RegionsAreRead,
)
from mixpe_sim.proofs.solve import Mutation, solve
from mixpe_sim.proofs.streams import InOrder

SMALL = Config(rows=2, port_bits=32, memory_bits=16, pe="shift-add")
BOARD = Config(rows=2, port_bits=32, pe="shift-add", inbox_bytes=65536)


@dataclass(frozen=True)
class Proof:
    """A claim about a block, and how far it is proved.

    Attributes
    ----------
    claim : str
        What holds, in a line.
    make : callable
        Gives a fresh `Claim`.
    cycles : int
        From reset on.
    mutation : Mutation
    last : bool
        See `solve`.
    """

    claim: str
    make: object
    cycles: int
    mutation: Mutation
    last: bool = False

    def run(self, *, mutated=False, cycles=None):
        """Prove it, or have its mutation refuted; raises as `solve` does."""
        solve(self.make(), cycles or self.cycles, last=self.last, mutation=self.mutation if mutated else None)


def _cut(signal, width):
    return [signal[start:start + width] for start in range(0, len(signal), width)]


def _gatherer():
    block = Gatherer(4, 4)
    return InOrder(block, block.sink, block.source, [block.sink.data], _cut(block.source.data, 4), settle_cycles=3,
        seen_words=8)


def _splitter():
    block = Splitter(16, 4)
    claim = InOrder(block, block.sink, block.source, _cut(block.sink.data, 4), [block.source.data], settle_cycles=6,
        seen_words=8)
    claim.assume(~block.sink.end)
    return claim


def _packer():
    block = Packer(64)
    claim = InOrder(block, block.sink, block.source, [block.sink.data], _cut(block.source.data, 32), settle_cycles=4,
        seen_words=4)
    claim.assume(~block.sink.end)
    return claim


def _register():
    block = register_stage([("data", 4)])
    return InOrder(block, block.sink, block.source, [block.sink.data], [block.source.data], settle_cycles=3,
        seen_words=4)


PROOFS = {
    "register": Proof("a register between streams keeps their order", _register, 10,
        Mutation("source_valid <= sink_valid;", "source_valid <= 1'd1;")),
    "gatherer": Proof("beats are gathered from the memory's words in order", _gatherer, 12,
        Mutation("part <= (part + 1'd1);", "part <= (part + 2'd2);")),
    "splitter": Proof("beats are cut into the memory's words in order", _splitter, 12,
        Mutation("(sink_payload_end | (part == 2'd3))", "(sink_payload_end | (part == 2'd2))")),
    "packer": Proof("results are packed into beats in order", _packer, 10,
        Mutation("full = (count == 2'd2);", "full = (count == 1'd1);")),
    "credits": Proof("no place is given away twice", lambda: CreditsCount(4), 12,
        Mutation("room <= (free != 1'd1);", "room <= (free != 1'd0);")),
    "reader": Proof("regions are read in order, no FIFO runs over, all comes", lambda: RegionsAreRead(1, 2), 10,
        Mutation("room <= (free != 1'd1);", "room <= 1'd1;")),
    "two ports": Proof("so through two ports that answer when they like", lambda: RegionsAreRead(2, 2), 10,
        Mutation("position <= (position + 1'd1);", "position <= (position + 2'd2);")),
    "shared port": Proof("an answer finds the reader that asked", lambda: AnswersFindTheirReader(2), 10,
        Mutation("block_sink_payload_owner = block_turn;", "block_sink_payload_owner = 1'd0;")),
    "writer": Proof("results stand behind each other, a job ends when the memory has them",
        lambda: JobsAreWritten(SMALL), 12, Mutation("& settled) & idle);", "& settled) & 1'd1);")),
    "bounded writer": Proof("nothing outside of the bounds is written", lambda: NothingOutsideIsWritten(SMALL), 9,
        Mutation("[30:1] < high_beat)", "[30:1] <= high_beat)")),
    "region": Proof("what is found inside lies in the memory: no sum wraps", lambda: RegionsEnd(BOARD, 1 << 24), 5,
        Mutation("inside <= (end0 <= 23'd4194304);", "inside <= (end0[22:0] <= 23'd4194304);")),
    "region in bytes": Proof("so with addresses of 32 bits", lambda: BytesEnd(3 << 22, 26), 3,
        Mutation("(bytesend_start[31:24] != 1'd0);", "1'd0;")),
    "overlap": Proof("regions overlap if and only if a beat is in both", lambda: RegionsMeet(16), 3,
        Mutation("(overlap0 < overlap3)", "(overlap0 <= overlap3)")),
    "abort": Proof("every job ends once, every abort comes to its end", AbortsEnd, 80,
        Mutation("next_state <= 2'd3;", "next_state <= 2'd2;")),
    "shift-add": Proof("a lane's product is q·x for all q and x", lambda: SumOfProducts(ShiftAddA8(lanes=1)), 3,
        Mutation("(sumofproducts_high <<< 2'd2)", "(sumofproducts_high <<< 2'd3)"), last=True),
    "bitplane": Proof("two lanes' sum is q·x + q'·x' for all of them", lambda: SumOfProducts(BitPlaneA8(lanes=2)), 4,
        Mutation("sumofproducts_weights_lane1[1]", "sumofproducts_weights_lane1[0]"), last=True),
}
