# SPDX-License-Identifier: BSD-2-Clause
"""A quantised layer in a device's memory."""

import zlib

from mixpe.devices.activations import KINDS, Activations, check_codes, check_floats
from mixpe.devices.calls import FusedCall, PartialsCall
from mixpe.plan.cut import cut_k
from mixpe.quant.matrix import QuantizedMatrix
from mixpe_gateware.contract.errors import ConfigError, DeviceError, DtypeError, RangeError
from mixpe_gateware.contract.layout import pack_stream


class DeviceLinear:
    """Made by `Device.load`; callable.

    Attributes
    ----------
    matrix : Int4Matrix or Int8Matrix
    activations : str
        ``a8`` or ``a16``.
    fused : bool
        Groups are dequantised on the device. Both ways give the same bits.
    slabs : list of Slab
    addrs : list of int
        Where each slab's weight stream lies in the device's memory.
    """

    def __init__(self, device, matrix, activations, fused):
        if not isinstance(matrix, QuantizedMatrix):
            raise DtypeError(f"load takes an Int4Matrix or Int8Matrix from mixpe.quantize, not {type(matrix).__name__}")
        if activations not in KINDS:
            raise RangeError(f"activations must be one of {KINDS}, not {activations!r}")
        config = device.config
        self.device = device
        self.matrix = matrix
        self.activations = activations
        self.slabs  = cut_k(matrix.k_padded, matrix.span, matrix.planes, config)
        able = config.fused and len(self.slabs) == 1 and not (activations == "a16" and config.rows % 2)
        if fused and not able:
            raise ConfigError(f"this device cannot dequantise k={matrix.k} with {activations} itself "
                f"(fused {config.fused}, rows {config.rows}, k_max {config.k_max}); leave fused out")
        self.fused  = able if fused is None else bool(fused)
        self.addrs  = []
        self._crcs  = []
        self._epoch = None

    @property
    def shape(self):
        """(n, k)"""
        return self.matrix.shape

    @property
    def weight_bytes(self):
        """Bytes of its weight streams in the device's memory."""
        return sum(size for size, _ in self._crcs)

    def __call__(self, x):
        """Multiply: (m, k) float32 or float16 → (m, n) float32."""
        return self.device.run([(self, x)])[0]

    def partials(self, xq):
        """Exact group dot products: (m, k) int8 → (m, n, k/G) int32.

        8-bit weights: 16·P_hi + P_lo.
        """
        self.check_usable()
        check_codes(xq, self.matrix.k)
        call = PartialsCall(self, Activations.of_codes(xq, self.matrix), self.device.out_bytes_max, raw=True)
        self.device.execute([call])
        return call.result()

    def free(self):
        """Give its memory back. The layer cannot be used after this; a second call does nothing."""
        addrs, self.addrs = self.addrs, None
        self.device.forget(self, addrs or [])

    def check_usable(self):
        """Raise DeviceError if the layer was freed or its device closed."""
        if self.addrs is None:
            raise DeviceError("this layer was freed; load it again")
        self.device.check_open()

    def call(self, x, shared):
        """The call for float activations; `shared` holds what was quantised for others already."""
        self.check_usable()
        check_floats(x, self.matrix.k)
        key = id(x), self.activations, self.matrix.k_padded, self.matrix.span
        if key not in shared:
            shared[key] = Activations.of(x, self.activations, self.matrix)
        if self.fused:
            return FusedCall(self, shared[key], self.device.out_bytes_max)
        return PartialsCall(self, shared[key], self.device.out_bytes_max, raw=False)

    def streams(self):
        """Weight streams, one a slab: (bytes,) uint8."""
        for slab in self.slabs:
            packed, scales, zeros = self.matrix.stream_parts(slab.start, slab.stop)
            yield pack_stream(packed, scales, zeros, self.device.config)

    def place(self, memory, write):
        """Put the streams into the device's memory: called by `Device.load`."""
        try:
            for stream in self.streams():
                self.addrs.append(memory.allocate(stream.size))
                self._crcs.append((stream.size, zlib.crc32(stream)))
                write(self.addrs[-1], stream)
        except BaseException:
            for addr in self.addrs:
                memory.free(addr)
            self.addrs = None
            raise
        self._epoch = self.device.epoch

    def ensure(self, checksum, write):
        """After trouble on the device, see that the weights are still what was sent, and send them again if not."""
        if self._epoch == self.device.epoch:
            return
        sound = [checksum(addr, size) == crc for addr, (size, crc) in zip(self.addrs, self._crcs, strict=True)]
        if not all(sound):
            for good, addr, stream in zip(sound, self.addrs, self.streams(), strict=True):
                if not good:
                    write(addr, stream)
        self._epoch = self.device.epoch
