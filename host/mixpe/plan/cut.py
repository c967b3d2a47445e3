# SPDX-License-Identifier: BSD-2-Clause
"""Cutting a layer into jobs that the accelerator takes.

k is cut once, when weights are loaded, in slabs that have their own weight stream. m and n are cut per call: m by the
activation buffers, n by the size of the result buffer.
"""

from dataclasses import dataclass

from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, GROUP_SIZES, K_LIMIT, N_LIMIT
from mixpe_gateware.contract.errors import ConfigError
from mixpe_gateware.contract.jobs import group_code
from mixpe_gateware.contract.layout import block_bytes
from mixpe_gateware.contract.scaling import Form

ALIGN_BYTES = 64  # of what lies in the device's memory: a multiple of every beat


@dataclass(frozen=True)
class Slab:
    """Part of a layer along k: start … stop of the padded k.

    Attributes
    ----------
    group_size : int
        Of its jobs; shorter than the matrix's only where one group is cut.
    first_group : int
        Group of the matrix that its first group belongs to.
    """

    start: int
    stop: int
    group_size: int
    first_group: int

    @property
    def k(self):
        return self.stop - self.start

    @property
    def groups(self):
        return self.k//self.group_size

    @property
    def code(self):
        return group_code(self.group_size, self.k)


def cut_k(k_padded, span, planes, config):
    """Slabs of a matrix of k_padded in groups of span weights.

    Parameters
    ----------
    k_padded : int
        Multiple of span; two levels: of a superblock.
    span : int
        Weights of one group.
    planes : int
        1, or 2 for 8-bit weights.
    config : Config
    """
    # Powers of two from 512 on, halved for two planes: so two levels are cut where a superblock of 256 ends.
    fits = min(config.k_max, config.groups_max//planes*span, K_LIMIT)
    if span in GROUP_SIZES and span <= fits:
        step = fits//span*span
    elif span <= fits:
        step = span
    else:
        step = fits//GROUP_SIZES[0]*GROUP_SIZES[0]  # one group in pieces, whose partial sums are added
    slabs = []
    for start in range(0, k_padded, step):
        stop = min(k_padded, start + step)
        slabs.append(Slab(start, stop, min(span, stop - start), start//span))
    return slabs


def rows_per_job(k, planes, config):
    """Most activation rows of one job: more than R only if a channel can be replayed from the weight buffer.

    Two row tiles may take both activation buffers: the next job's activations then wait, but each weight meets twice
    the rows. More tiles than two gain less than that costs.
    """
    tiles = max(config.k_max//k, 2) if planes*k//config.lanes <= config.buffer_beats else 1
    return min(tiles*config.rows, config.k_max)


def roomy_bytes(rows, row_bytes, words, out_bytes_max):
    """Free memory from which on `fit_buffers` changes nothing; parameters as there."""
    return rows*row_bytes + max(out_bytes_max, 4*CHANNELS_PER_BLOCK*words*rows) + 2*ALIGN_BYTES


def fit_buffers(rows, row_bytes, words, out_bytes_max, room_bytes):
    """Activation rows of one job and size of its results, so that both buffers fit together.

    Parameters
    ----------
    rows : int
        Rows that the array would take.
    row_bytes : int
        Activations of one row.
    words : int
        Result words of one row and channel.
    out_bytes_max : int
        Largest result buffer wanted.
    room_bytes : int
        Largest free piece of the device's memory.

    Returns
    -------
    rows : int
        1 if nothing fits: allocation then says what is missing.
    out_bytes_max : int
    """
    room = room_bytes - 2*ALIGN_BYTES  # each buffer is rounded up
    def least(rows):
        return 4*CHANNELS_PER_BLOCK*words*rows
    while rows > 1 and rows*row_bytes + least(rows) > room:
        rows = (rows + 1)//2
    return rows, min(out_bytes_max, max(room - rows*row_bytes, least(rows)))


def channels_per_job(n, words, out_bytes_max):
    """Most output channels of one job whose results are `words` 32-bit words a channel."""
    fits = out_bytes_max//(4*words)//CHANNELS_PER_BLOCK*CHANNELS_PER_BLOCK
    if not fits:
        raise ConfigError(f"a result buffer of {out_bytes_max} bytes is too small for eight channels of {words} words")
    return min(n, fits, N_LIMIT)


def slab_block_bytes(slab, planes, config, form=Form.ZERO):
    """Bytes of eight channels in the slab's weight stream."""
    return block_bytes(planes*slab.k, planes*slab.groups, config, form)


