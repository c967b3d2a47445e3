# SPDX-License-Identifier: BSD-2-Clause
"""Whether a model's layers fit a device's memory, and which stay there if not: known from shapes, before any is made.

    outline     a model's jobs by the shapes and forms of their tensors
    job_plans   each job's matrices as `LayerPlan`, as `DeviceLoader` will make them
    Space       a device's memory with what is free of it
    Residence   which jobs stay, which are streamed, and the region that those pass through
"""

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from mixpe.devices.driver import RESULT_BYTES, driver_of
from mixpe.devices.memory import Allocator
from mixpe.errors import DeviceMemoryError
from mixpe.formats.convert import StoredForm, stored_form
from mixpe.formats.tensor import FloatTensor
from mixpe.plan.cut import ALIGN_BYTES
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.program.jobs import HEAD
from mixpe.quant.matrix import Int4Matrix, Int8Matrix, group_span
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.scaling import Form

REGION_SHARE = 8  # a region for streamed layers takes at most this part of what is free
ROOM_SHARE   = 4  # the same of room for buffers


@dataclass(frozen=True)
class Rounding:
    """How weights are quantised here.

    Attributes
    ----------
    bits, group_size : int
        Of weights that are stored as floats.
    head : (bits, group size) or None
        Of the output head, whatever it is stored as.
    """

    bits: int
    group_size: int
    head: tuple | None = None


def _planes(bits):
    return {kind.bits: kind.planes for kind in (Int4Matrix, Int8Matrix)}[bits]


@dataclass(frozen=True)
class Part:
    """A matrix of a job without its numbers.

    Attributes
    ----------
    n, k : int
    stored : StoredForm or None
        What a device with minima takes; None: it is stored as floats.
    order : bytes or None
        Of its columns, where that is not the model's.
    """

    n: int
    k: int
    stored: StoredForm | None
    order: bytes | None

    @classmethod
    def of(cls, part):
        """Of an array or Tensor."""
        stored = None if isinstance(part, (np.ndarray, FloatTensor)) else stored_form(part)
        return cls(*part.shape, stored, part.permutation.tobytes() if stored and stored.is_permuted else None)

    def form(self, rounding, minima):
        """(bits, group size, form, order) on a device."""
        if self.stored is None:
            return rounding.bits, rounding.group_size, Form.ZERO, None
        if self.stored.form and not minima:
            return StoredForm.bits, StoredForm.group_size, Form.ZERO, None
        return self.stored.bits, self.stored.group_size, self.stored.form, self.order


def outline(jobs):
    """A model without its numbers: dict of job → list of array or Tensor, as dict of job → list of Part."""
    return {name: [Part.of(part) for part in parts] for name, parts in jobs.items()}


def job_plans(parts, rounding, config, wide):
    """What a model's jobs are on a device, as `DeviceLoader` makes them: dict of job → list of LayerPlan.

    Parameters
    ----------
    parts : dict of job → list of Part
    rounding : Rounding
    config : Config
    wide : bool
        Activations are FP16.
    """
    plans, made = {}, {}
    for name, some in parts.items():
        if name == HEAD and rounding.head is not None:
            forms = [(*rounding.head, Form.ZERO, None)]
        else:
            forms = [part.form(rounding, config.minima) for part in some]
        plans[name] = []
        for (bits, group_size, form, _), run in groupby(zip(forms, some, strict=True), lambda pair: pair[0]):
            shape = LayerShape(n=sum(part.n for _, part in run), k=some[0].k, span=group_span(group_size, some[0].k),
                planes=_planes(bits), form=form)
            if shape not in made:
                made[shape] = LayerPlan(shape, config, wide=wide)
            plans[name].append(made[shape])
    return plans


def _aligned(size):
    return -(-size//ALIGN_BYTES)*ALIGN_BYTES


def stream_bytes(plans):
    """Bytes of some layers in a device's memory."""
    return sum(_aligned(size) for plan in plans for size in plan.stream_bytes)


def _buffer_bytes(plan, channels):
    """Activations of one token, and its results of so many channels."""
    rows  = 2 if plan.wide else 1
    words = 1 if plan.fused else plan.planes*max(slab.groups for slab in plan.slabs)
    acts  = max(slab.k + plan.config.beat_bytes + slab.groups for slab in plan.slabs)
    return _aligned(rows*acts) + _aligned(4*rows*words*channels)


class Space:
    """A device's memory, and what is free of it.

    Parameters
    ----------
    config : Config
    memory : Allocator
        Is never changed.
    """

    def __init__(self, config, memory):
        self.config  = config
        self._memory = memory
        self.free_bytes    = memory.free_bytes
        self.total_bytes   = memory.total_bytes
        self.out_bytes_max = min(RESULT_BYTES, memory.total_bytes//8)

    @classmethod
    def of_device(cls, device):
        """Of an open device, as it is now."""
        return cls(device.config, driver_of(device).memory)

    @classmethod
    def of_size(cls, config, mem_bytes):
        """Of a device that nobody uses."""
        return cls(config, Allocator(mem_bytes))

    def least_bytes(self, plans):
        """Room that one token needs beside the weights, in the smallest jobs."""
        return max((_buffer_bytes(plan, CHANNELS_PER_BLOCK) for job in plans.values() for plan in job), default=0)

    def room_bytes(self, plans):
        """Room that keeps a token's jobs whole, two at a time; a part of the memory where that were too much."""
        whole = max((_buffer_bytes(plan, plan.n) for job in plans.values() for plan in job), default=0)
        return max(self.least_bytes(plans), min(2*whole, self.free_bytes//ROOM_SHARE, 2*self.out_bytes_max))

    def needed_bytes(self, plans):
        """What all layers and the smallest jobs take."""
        return sum(stream_bytes(job) for job in plans.values()) + self.least_bytes(plans)

    def holds(self, plans, region_bytes=0, room_bytes=None):
        """Whether layers find their places, in order, behind a region, and the room for buffers is left in one piece.

        Parameters
        ----------
        plans : dict of name → list of LayerPlan
        region_bytes : int
        room_bytes : int, optional
            Default: what the smallest jobs need.
        """
        memory = self._memory.copy()
        try:
            if region_bytes:
                memory.allocate(region_bytes)
            for size in (size for job in plans.values() for plan in job for size in plan.stream_bytes):
                memory.allocate(size)
            memory.allocate(self.least_bytes(plans) if room_bytes is None else room_bytes, top=True)
        except DeviceMemoryError:
            return False
        return True


def channels_within(plan, size):
    """Most channels of a layer, in whole blocks, whose weight streams are in so many bytes; at most all."""
    blocks = (size - len(plan.slabs)*ALIGN_BYTES)//sum(plan.block_bytes)
    return min(plan.n, max(0, blocks)*CHANNELS_PER_BLOCK)


@dataclass(frozen=True)
class Residence:
    """Which jobs stay in the memory, and which are sent each time.

    Attributes
    ----------
    streamed : tuple of str
        Jobs, in their order.
    region_bytes : int
        Of the region that these pass through; 0 where there is none.
    streamed_bytes : int
        Sent with every pass of the model: a token, or a prompt.
    """

    streamed: tuple = ()
    region_bytes: int = 0
    streamed_bytes: int = 0


def _smallest_region(plans):
    return max((sum(plan.block_bytes) + len(plan.slabs)*ALIGN_BYTES for job in plans.values() for plan in job))


def residence(space, plans):
    """Where jobs are to be: all in the memory if they fit, else the largest first, and the others streamed.

    Parameters
    ----------
    space : Space
    plans : dict of name → list of LayerPlan

    Returns
    -------
    Residence, or None
        None: the memory is too small even for eight channels of the widest layer at a time.
    """
    if space.holds(plans):
        return Residence()
    room   = space.room_bytes(plans)
    widest = max(sum(map(_aligned, plan.stream_bytes)) for job in plans.values() for plan in job)
    region = min(widest, max(_smallest_region(plans), space.free_bytes//REGION_SHARE//ALIGN_BYTES*ALIGN_BYTES))
    if not space.holds({}, region, room):
        region, room = _smallest_region(plans), space.least_bytes(plans)
        if not space.holds({}, region, room):
            return None
    sizes   = {name: stream_bytes(job) for name, job in plans.items()}
    staying = set()
    left    = space.free_bytes - region - _aligned(room)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sizes[name] <= left:
            staying.add(name)
            left -= sizes[name]
    while not space.holds({name: plans[name] for name in plans if name in staying}, region, room):
        staying.remove(min(staying, key=sizes.get))  # free memory is in pieces
    streamed = tuple(name for name in plans if name not in staying)
    return Residence(streamed, region, sum(math.fsum(plan.stream_bytes) for name in streamed for plan in plans[name]))
