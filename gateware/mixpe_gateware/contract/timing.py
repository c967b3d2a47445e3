# SPDX-License-Identifier: BSD-2-Clause
"""Cycles of a job, from its shape: the model that scales measured figures to whole models and boards.

A job's body is bound by the slowest of three things that overlap:

    memory   beats of the stream ÷ what the memory gives a reader, plus what writing the results takes from it
    array    one beat of weights a cycle, once for each row tile
    results  partials: one 32-bit word a cycle; fused: S group sums a cycle; and one for each channel and tile

An array with several row tiles takes its channel's weights from the buffer, and the next channel's come only as the
last tile frees their places. Where results leave densely (partials), reads and writes then meet in that tile:

    last tile   reads of a channel + writes of a tile − the results that can wait on chip, if longer than the tile

and in front of it lie the checks, the activations and the memory's latency, which queued jobs hide.

Source of the constants: measured in the simulated SoC with LiteDRAM's timing (`mixpe bench`).
"""

from dataclasses import dataclass

import numpy as np

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """What a memory gives, in beats of the accelerator.

    Parameters
    ----------
    read_rate : float
        Beats a cycle of sequential reads, 0 … 1.
    write_cycles : tuple of (float, float)
        Share of written beats in all beats, and the cycles that one then takes from the readers, turning the bus around
        included: the fewer they are the fewer go together. Linear in between.
    latency_cycles : float
        From the first request to the first answer.
    share_cycles : float
        Cycles of a byte that is read on a port which several share.
    share_write_cycles : tuple of (float, float)
        Share of written bytes, and the cycles of one.
    """

    read_rate: float
    write_cycles: tuple
    latency_cycles: float = 20.0
    share_cycles: float = 0.0
    share_write_cycles: tuple = ((0.0, 0.0),)

    def writing(self, written, read):
        """Cycles that a job's written beats take from its read ones."""
        return written*float(np.interp(written/(written + read), *zip(*self.write_cycles, strict=True)))

    def sharing(self, read, written):
        """Cycles in which so many bytes are read and written on ports that several share."""
        if not written:
            return read*self.share_cycles
        share = written/(written + read)
        return read*self.share_cycles + written*float(np.interp(share, *zip(*self.share_write_cycles, strict=True)))


# Beats a cycle of the weight stream, by width of the native port and number of read ports: what a bare reader of that
# many ports gets in LiteDRAM's simulation. 16 and 32 bits: SDR at 1:1; 128 bits: DDR3 x16 at 1:4.
READ_RATES = {
    (16, 1): 0.968, (32, 1): 0.968, (64, 1): 0.923, (128, 1): 0.889, (128, 2): 0.923, (128, 4): 0.9435,
}
HALF_RATE = 0.923  # of the pins, where these take two cycles for a word: DDR3 x16 at 1:2, with any number of ports

# Cycles that a word of results takes from the readers by its share, by width of the port: SDR turns its bus faster.
SDR, DDR3 = ((0.2, 1.71), (0.5, 1.35), (0.65, 1.31), (0.8, 1.18)), ((0.0, 2.0),)
WRITE_CYCLES = {16: SDR, 32: SDR, 64: DDR3, 128: DDR3}

# The same for the ports of a decoder's engines, which read and write in turns.
SHARE_SDR, SHARE_DDR3 = ((0.2, 1.82), (0.33, 1.85), (0.5, 1.45), (1.0, 1.05)), ((0.5, 3.0), (1.0, 1.1))
SHARE_WRITE_CYCLES = {16: SHARE_SDR, 32: SHARE_SDR, 64: SHARE_DDR3, 128: SHARE_DDR3}
SHARE_HALF = ((0.5, 2.2), (1.0, 1.1))  # as `HALF_RATE`


def memory_timing(config, peak_bytes_per_cycle=None):
    """What the memory behind a configuration's ports gives, as measured in simulation.

    Parameters
    ----------
    config : Config
    peak_bytes_per_cycle : float, optional
        Of the memory's pins where these carry less than a word of its port a cycle: DDR3 at 1:2 has ports of 128 bits
        and half as much a cycle.

    Returns
    -------
    MemoryTiming
    """
    known = [ports for bits, ports in READ_RATES if bits == config.memory_bits and ports <= config.read_ports]
    words, writes = config.words_per_beat, SHARE_WRITE_CYCLES[config.memory_bits]
    rate, alone = READ_RATES[config.memory_bits, max(known)], READ_RATES[config.memory_bits, 1]
    if peak_bytes_per_cycle is not None and 8*peak_bytes_per_cycle < config.memory_bits:
        words *= config.memory_bits/8/peak_bytes_per_cycle
        rate = alone = HALF_RATE
        writes = SHARE_HALF
    share = words/config.beat_bytes  # cycles of a byte at a word of the port a cycle
    return MemoryTiming(read_rate=rate/words, share_cycles=share/alone,
        write_cycles=tuple((part, cycles*words) for part, cycles in WRITE_CYCLES[config.memory_bits]),
        share_write_cycles=tuple((part, cycles*share) for part, cycles in writes))


@dataclass(frozen=True)
class Prediction:
    """Cycles of a job and of what bounds it."""

    total: float
    memory: float
    array: float
    results: float
    start: float

    @property
    def bound(self):
        """``memory``, ``array`` or ``results``."""
        return max(("memory", "array", "results"), key=lambda name: getattr(self, name))


CHECK_CYCLES = 24  # of the checker, without its multiplications
DRAIN_CYCLES = 40  # from the array's last beat to the job's end, without the memory's latency
WAITING_VECTORS, WAITING_BEATS = 16, 48  # what can wait behind the array, and in reader and writer


def _ceil(value, unit):
    return -(-value//unit)


def _multiply_cycles(job, config):
    """The checker's serial multiplier: two cycles and one for each bit of its second operand."""
    tokens = job.m//2 if job.wide else job.m
    blocks = _ceil(job.n, CHANNELS_PER_BLOCK)
    return sum(3 + operand.bit_length() for operand in (job.k//config.lanes, job.m, blocks, tokens, job.n))


def predict(job, config, memory, *, inbox=False):
    """Cycles from a job's first check to its last result in memory, with nothing else in the queue.

    Parameters
    ----------
    job : Job
    config : Config
    memory : MemoryTiming
    inbox : bool
        The activations come from the inbox: a beat a cycle, while the weight buffer fills.

    Returns
    -------
    Prediction
    """
    tiles   = job.tiles(config)
    words   = job.passes*job.k//config.lanes
    groups  = job.passes*job.groups
    padded  = _ceil(job.n, CHANNELS_PER_BLOCK)*CHANNELS_PER_BLOCK
    stream  = job.weight_bytes(config)//config.beat_bytes
    acts    = job.act_bytes(config)//config.beat_bytes
    written = _ceil(job.result_bytes(config), config.beat_bytes)
    array   = padded*tiles*words
    last    = job.m - (tiles - 1)*config.rows
    if job.fused:
        vectors = (tiles - 1)*_ceil(config.rows, config.scalers) + _ceil(last, config.scalers)
    else:
        vectors = job.m*max(1, 32//config.port_bits)
    # A cycle more for each channel and tile, in which what follows from them settles.
    results = groups*(job.n*vectors + (padded - job.n)*tiles) + padded*tiles
    writing = memory.writing(written, stream)
    read    = stream/memory.read_rate + writing
    waits   = 0.0
    if tiles > 1:
        waiting = (WAITING_VECTORS*config.rows*32/config.port_bits + WAITING_BEATS)*writing/written
        crowded = stream/padded/memory.read_rate + writing/padded*last/job.m - waiting
        waits   = padded*max(0.0, crowded - max(array, results)/padded/tiles)
    start   = CHECK_CYCLES + _multiply_cycles(job, config) + 2*memory.latency_cycles + DRAIN_CYCLES
    if inbox:
        stall = max(0.0, acts - min(stream, config.buffer_beats)/memory.read_rate)  # of a full weight buffer
        return Prediction(start + max(stall + read, acts + max(array + waits, results)), read, array, results, start)
    start  += acts/memory.read_rate
    # While the activations arrive the weight buffer fills: beats that the memory need not read later, but that the
    # array waits for.
    ahead   = min(acts, stream, config.buffer_beats)/memory.read_rate
    return Prediction(start + max(read, ahead + max(array + waits, results)), read, array, results, start)
