# SPDX-License-Identifier: BSD-2-Clause
"""One call of a layer as steps: jobs in the order in which they are posted, with buffers by name.

A buffer has no address here. Weights are named by their slab, activations by the rows and the part of k that they are
(`RowBlock`: steps with the same one share it), results by the step itself. Whoever carries the plan out adds where a
buffer lies to the step's offsets.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mixpe.plan.cut import channels_per_job, fit_buffers, roomy_bytes, rows_per_job
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.jobs import Job


class RowBlock(NamedTuple):
    """Activation rows start … stop of k_start … k_stop, and with `table` their alignment shifts behind them."""

    start: int
    stop: int
    k_start: int
    k_stop: int
    table: bool


@dataclass(frozen=True)
class Step:
    """One job of a call.

    Attributes
    ----------
    job : Job
        Its shape, and the size of its results. Addresses count from the start of their buffers.
    slab : int
        Index of the slab whose weight stream it reads.
    acts : RowBlock
        Activations that it reads.
    act_bytes, weight_bytes : int
        What it reads of both.
    tokens, channels : slice
        Of the call's result, what the job is part of.
    last : bool
        With it, all of that is there.
    """

    job: Job
    slab: int
    acts: RowBlock
    act_bytes: int
    weight_bytes: int
    tokens: slice
    channels: slice
    last: bool


@dataclass(frozen=True)
class CallPlan:
    """A call of a layer, cut.

    Attributes
    ----------
    layer : LayerPlan
    tokens : int
    raw, fused, wide, shift : bool
        Results are partial sums; are dequantised on the device; a token is two rows; groups have alignment shifts.
    steps : tuple of Step
    room_bytes : int
        Free memory from which on the plan would be the same.
    """

    layer: object
    tokens: int
    raw: bool
    fused: bool
    wide: bool
    shift: bool
    steps: tuple
    room_bytes: int

    @property
    def rows_per_token(self):
        return 2 if self.wide else 1


def plan_call(layer, tokens, raw, out_bytes_max, room_bytes):
    """Cut a call; parameters as for `LayerPlan.call`, `room_bytes` None where memory is no concern."""
    wide, shift, fused = (flag and not raw for flag in (layer.wide, layer.shift, layer.fused))
    cut   = _cut_fused if fused else _cut_partials
    least = min(rows_per_job(slab.k, layer.planes, layer.config) for slab in layer.slabs)
    steps, room_bytes = cut(layer, tokens, wide, least, out_bytes_max, room_bytes)
    return CallPlan(layer, tokens, raw, fused, wide, shift, tuple(steps), room_bytes)


def _fit(layer, rows, words, out_bytes_max, room_bytes):
    """Rows of a job and size of its results for the room that there is, and the room that would change neither."""
    row_bytes = max(slab.k + layer.config.beat_bytes + slab.groups for slab in layer.slabs)
    roomy     = roomy_bytes(rows, row_bytes, words, out_bytes_max)
    if room_bytes is None or room_bytes >= roomy:
        return rows, out_bytes_max, roomy
    return *fit_buffers(rows, row_bytes, words, out_bytes_max, room_bytes), roomy


def _pieces(start, stop, step):
    return [slice(low, min(stop, low + step)) for low in range(start, stop, step)]


def _channels(layer, words, out_bytes_max):
    """Output channels of one job after another, for so many result words a channel."""
    return _pieces(0, layer.n, channels_per_job(layer.n, words, out_bytes_max))


def _even(rows, wide):
    """A token's two rows stay together where a job takes two."""
    return rows//2*2 if wide and rows > 1 else rows


def _step(layer, index, rows, tokens, channels, *, fused, wide, last):
    """The step of one slab, some rows and some channels."""
    config, slab = layer.config, layer.slabs[index]
    table = fused and layer.shift
    shape = {"n": channels.stop - channels.start, "k": slab.k, "m": rows.stop - rows.start, "group": slab.code,
        "fused": fused, "wide": wide, "shift": table, "planes": layer.planes == 2, "form": layer.form}
    start = channels.start//CHANNELS_PER_BLOCK*layer.block_bytes[index]
    size  = Job(weights_addr=start, act_addr=0, out_addr=0, out_bytes=0, **shape).result_bytes(config)
    job   = Job(weights_addr=start, act_addr=0, out_addr=0, out_bytes=size, **shape)
    return Step(job, index, RowBlock(rows.start, rows.stop, slab.start, slab.stop, table), job.act_bytes(config),
        job.weight_bytes(config), tokens, channels, last)


def _cut_fused(layer, tokens, wide, most, out_bytes_max, room_bytes):
    """One slab, dequantised on the device: each job's results are final."""
    each = 2 if wide else 1
    rows, out_bytes_max, roomy = _fit(layer, _even(most, wide), 1, out_bytes_max, room_bytes)
    rows  = max(_even(rows, wide), each)
    steps = []
    for part in _pieces(0, each*tokens, rows):
        some = slice(part.start//each, part.stop//each)
        for channels in _channels(layer, some.stop - some.start, out_bytes_max):
            steps.append(_step(layer, 0, part, some, channels, fused=True, wide=wide, last=True))
    return steps, roomy


def _cut_partials(layer, tokens, wide, most, out_bytes_max, room_bytes):
    """Partial sums of all slabs, which are added up for some rows and channels before the next ones begin."""
    each  = 2 if wide else 1
    words = layer.planes*max(slab.groups for slab in layer.slabs)
    most  = min(_even(most, wide), max(1, out_bytes_max//(4*CHANNELS_PER_BLOCK*words)))
    rows, out_bytes_max, roomy = _fit(layer, _even(most, wide), words, out_bytes_max, room_bytes)
    rows  = _even(rows, wide)
    steps = []
    for block in _pieces(0, each*tokens, max(rows, each)):
        some = slice(block.start//each, block.stop//each)
        for channels in _channels(layer, min(rows, block.stop - block.start)*words, out_bytes_max):
            parts = [(part, index) for part in _pieces(block.start, block.stop, rows)
                for index in range(len(layer.slabs))]
            for part, index in parts:
                steps.append(_step(layer, index, part, some, channels, fused=False, wide=False,
                    last=(part, index) == parts[-1]))
    return steps, roomy
