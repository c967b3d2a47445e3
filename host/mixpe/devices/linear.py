# SPDX-License-Identifier: BSD-2-Clause
"""A quantised layer in a device's memory."""

import zlib
from typing import Any

import numpy as np

from mixpe.devices.activations import Activations, check_codes
from mixpe.devices.calls import FusedCall, PartialsCall
from mixpe.devices.resident import Sent
from mixpe.devices.streams import LayerStream
from mixpe.plan.kinds import KINDS
from mixpe.plan.layer import LayerPlan, LayerShape
from mixpe.quant.matrix import QuantizedMatrix
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.errors import DeviceError, DtypeError, RangeError
from mixpe_gateware.contract.layout import pack_stream

PIECE_BYTES = 4 << 20  # of a weight stream that are made and sent at a time


class DeviceLinear(Sent):
    """Made by `Device.load`; callable.

    Attributes
    ----------
    name : str
        For messages.
    activations : str
        One of `plan.kinds`.
    plan : LayerPlan
        How it is cut.
    fused : bool
        Groups are dequantised on the device. Both ways give the same bits.
    addrs : list of int
        Where each slab's weight stream lies in the device's memory; None once it is freed.
    crcs : list of int
        CRC-32 of each of them.
    """

    def __init__(self, driver, matrix, activations, fused, remake=None, name=None):
        stream = matrix if isinstance(matrix, LayerStream) else None
        if not isinstance(matrix, QuantizedMatrix) and stream is None:
            raise DtypeError(f"load takes an Int4Matrix or Int8Matrix from mixpe.quantize, not {type(matrix).__name__}")
        if activations not in KINDS:
            raise RangeError(f"activations must be one of {tuple(KINDS)}, not {activations!r}")
        self._matrix = None if stream else matrix
        self._remake = remake
        self.activations = activations
        shape = stream.shape if stream else LayerShape.of(matrix)
        kind  = KINDS[activations]
        self.plan   = LayerPlan(shape, driver.config, wide=kind.wide, shift=kind.shift, fused=fused)
        self.fused  = self.plan.fused
        self.addrs  = []
        self.crcs   = []
        super().__init__(driver, name or f"a layer of {self.plan.n} x {self.plan.k}")
        self._memory = driver.memory
        self._stream = None
        if stream:
            if not self.fused or remake is None or self.plan.stream_bytes != (stream.stream.nbytes,):
                raise RangeError(f"a layer of {self.plan.stream_bytes} bytes that the device "
                    f"{'dequantises' if self.fused else 'does not dequantise'} cannot be loaded as a stream of "
                    f"{stream.stream.nbytes}; load its matrix")
            self._stream = stream.stream

    @property
    def shape(self) -> tuple[int, int]:
        """(n, k)"""
        return self.plan.n, self.plan.k

    @property
    def matrix(self) -> QuantizedMatrix:
        """Int4Matrix or Int8Matrix; made again where it was not kept."""
        return self._remake() if self._matrix is None else self._matrix

    @property
    def weight_bytes(self) -> int:
        """Bytes of its weight streams in the device's memory."""
        return sum(self.plan.stream_bytes)

    def __call__(self, x: Any) -> np.ndarray:
        """Multiply.

        Parameters
        ----------
        x : (k,), (m, k) or (…, k)
            Floats of 16, 32 or 64 bits, or lists of numbers; see `devices.inputs.as_rows`.

        Returns
        -------
        (n,), (m, n) or (…, n) float32
        """
        return self.driver.run([(self, x)])[0]

    def __repr__(self):
        n, k   = self.shape
        places = "freed" if self.addrs is None else f"{self.weight_bytes} bytes on {self.driver.url}"
        return f"DeviceLinear({n} x {k}, W{4*self.plan.planes}{self.activations.upper()}, {places})"

    def partials(self, xq: np.ndarray) -> np.ndarray:
        """Exact group dot products: (m, k) int8 → (m, n, k/G) int32.

        8-bit weights: 16·P_hi + P_lo.
        """
        with self.driver.turn:
            self._check_loaded()
            self.driver.check_open()
            check_codes(xq, self.plan.k)
            acts = Activations.of_codes(xq, self.plan.k_padded, self.plan.span)
            call = PartialsCall(self._planned(len(xq), raw=True), self.addrs, acts, self.name, self.matrix)
            self.driver.prepare([self])
            self.driver.execute([call])
            return call.result()

    def free(self) -> None:
        """Give its memory back. The layer cannot be used after this; a second call does nothing."""
        with self.driver.turn:
            addrs, self.addrs = self.addrs, None
            self.driver.upkeep.remove(self)
            for addr in addrs or []:
                self._memory.free(addr)

    def call(self, x, shared):
        """The call for (m, k) float activations; `shared` holds what was quantised for others already."""
        self._check_loaded()
        plan = self.plan
        key = id(x), self.activations, plan.k_padded, plan.span
        if key not in shared:
            shared[key] = Activations.of(x, self.activations, plan.k_padded, plan.span)
        planned = self._planned(len(x))
        if planned.fused:
            return FusedCall(planned, self.addrs, shared[key], self.name)
        return PartialsCall(planned, self.addrs, shared[key], self.name, self.matrix)

    def place(self, memory, write, keep=None):
        """Put the streams into the device's memory, or a region of it: called by `Device.load`."""
        self._memory = memory
        try:
            for index, size in enumerate(self.plan.stream_bytes):
                self.addrs.append(memory.allocate(size))
                crc = 0
                for offset, piece in self._pieces(index):
                    crc = zlib.crc32(piece, crc)
                    write(self.addrs[-1] + offset, piece)
                    if keep is not None:
                        keep(piece)
                self.crcs.append(crc)
        except BaseException:
            for addr in self.addrs:
                memory.free(addr)
            self.addrs = None
            raise
        self._stream = None
        if self._remake is not None and self.fused:  # else each call needs its scaling
            self._matrix = None

    def parts(self):
        return list(zip(self.addrs, self.plan.stream_bytes, self.crcs, strict=True))

    def send_again(self, indices):
        for index in indices:
            for offset, piece in self._pieces(index):
                self.driver.transfer.upload(self.addrs[index] + offset, piece, True)

    def _pieces(self, index):
        """A slab's weight stream in pieces of whole blocks: offset, and (bytes,) uint8."""
        plan = self.plan
        if self._stream is not None:
            for start in range(0, len(self._stream), PIECE_BYTES):
                yield start, self._stream[start:start + PIECE_BYTES]
            return
        matrix = self.matrix
        slab, block  = plan.slabs[index], plan.block_bytes[index]
        step = max(1, PIECE_BYTES//block)*CHANNELS_PER_BLOCK
        for start in range(0, plan.n, step):
            packed, scaling = matrix.stream_parts(slice(start, min(plan.n, start + step)), slab.start, slab.stop)
            yield start//CHANNELS_PER_BLOCK*block, pack_stream(packed, scaling, self.driver.config)

    def _check_loaded(self):
        if self.addrs is None:
            raise DeviceError("this layer was freed; load it again")

    def _planned(self, tokens, *, raw=False):
        driver = self.driver
        return self.plan.call(tokens, raw=raw, out_bytes_max=driver.out_bytes_max,
            room_bytes=driver.memory.largest_bytes//driver.copies)
