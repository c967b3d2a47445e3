# SPDX-License-Identifier: BSD-2-Clause
"""An open device, as a user has it: one class for all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mixpe.devices.driver import Driver
from mixpe.devices.linear import DeviceLinear
from mixpe.devices.streams import LayerStream
from mixpe.quant.matrix import QuantizedMatrix
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.digest import VERSION, digest
from mixpe_gateware.contract.errors import DtypeError
from mixpe_gateware.contract.registers import CONTROL_COUNTERS, CONTROL_LATCH, STATUS_LATCHING, counters_of


class Device:
    """An open device; use `mixpe.open`. Several threads may use it: their calls take turns.

    Parameters
    ----------
    link : mixpe.link.Link
    url : str
        What the user opened.
    rate_hz : float, optional
        Device cycles a second of real time, at the least, for the limits of waits. Left out: the device's clock.
    floor_s : float
        Shortest limit of any wait for the device.
    ready_s : float
        Limit of the wait for the device's memory at opening.
    verify : str
        ``all``: checksums over weights, activations and results, and descriptors are read back. ``weights``: over
        weights only, for links that lose nothing. ``none``.
    csr_base : int, optional
        Address of the SoC's CSRs where it is not one of the usual ones.
    twice : bool
        Each job of a layer and each run of a program is done twice, and its results are taken where both are the same.
    check_s : float, optional
        Weights, programs and sessions that a call uses were looked at no longer ago than so many seconds; see `check`.

    Attributes
    ----------
    url : str
    config : Config
    clock_hz : int
    """

    url:      str
    config:   Config
    clock_hz: int

    def __init__(self, link, url, **options):
        self._driver  = driver = Driver(link, url, **options)
        self.url      = url
        self.config   = driver.config
        self.clock_hz = driver.clock_hz

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self):
        return f"Device({self.url!r}, {self.config.name}{', closed' if self._driver.closed else ''})"

    def close(self) -> None:
        """Close the link, and stop what `open` started. A second call does nothing."""
        self._driver.close()

    def load(self, matrix: QuantizedMatrix | LayerStream, activations: str = "a8", fused: bool | None = None,
            remake: Callable[[], QuantizedMatrix] | None = None, keep: Callable[[np.ndarray], object] | None = None,
            memory: Any = None, name: str | None = None) -> DeviceLinear:
        """Put a quantised matrix into the device's memory.

        Parameters
        ----------
        matrix : Int4Matrix, Int8Matrix, or LayerStream
            A LayerStream needs `remake`, and a device that dequantises this layer itself.
        activations : str
            ``a8``: int8 with one scale a token. ``a8g``: int8 with a power-of-two scale per group. ``a16``: FP16,
            aligned per group.
        fused : bool, optional
            Dequantise on the device (True), on the host (False), or on the device where it can (left out).
            The bits of the results are the same.
        remake : callable, optional
            Gives the same matrix again, for the rare case that the device's memory lost it. The layer then keeps none.
        keep : callable, optional
            Called with each piece of the weight stream, (bytes,) uint8.
        memory : Region, optional
            Where its weights go; left out: anywhere in the device's memory.
        name : str, optional
            For messages; left out: its shape.

        Returns
        -------
        DeviceLinear

        Raises
        ------
        DeviceMemoryError
            It does not fit; nothing is left behind.
        VerifyError
            What the device's memory holds is not what was sent, three times.
        """
        driver = self._driver
        with driver.turn:
            driver.recover()
            linear = DeviceLinear(driver, matrix, activations, fused, remake, name)
            linear.place(memory or driver.memory,
                lambda addr, stream: driver.transfer.upload(addr, stream, driver.verify != "none"), keep)
            driver.upkeep.add(linear)
        return linear

    def run(self, requests: list[tuple[DeviceLinear, Any]]) -> list[np.ndarray]:
        """Run independent layers without waiting between them.

        Parameters
        ----------
        requests : list of (DeviceLinear, x)
            x as for calling the layer. Layers that are given the same array share it on the device.

        Returns
        -------
        list of (…, n) float32

        Raises
        ------
        DtypeError
            A request is no pair of a layer and its activations.
        DeviceError
            A layer of another device, or one that was freed.
        """
        requests = list(requests)
        for request in requests:
            if not isinstance(request, tuple | list) or len(request) != 2 or not isinstance(request[0], DeviceLinear):
                raise DtypeError(f"run takes pairs of a layer and its activations, (layer, x), not {request!r}")
        return self._driver.run(requests)

    def check(self, older_s: float = 0.0, limit_s: float = float("inf")) -> int:
        """See that layers, programs and sessions in the device's memory are what was put there, by its checksums.

        Parameters
        ----------
        older_s : float
            Leave out what was looked at no longer ago.
        limit_s : float
            Begin no further look after so long; the next call goes on from there.

        Returns
        -------
        int
            Bytes that were looked at.

        Raises
        ------
        DamageError
            Something is not; it names what.
        """
        with self._driver.turn:
            self._driver.recover()
            return self._driver.upkeep.check(older_s, limit_s)

    def recover(self) -> tuple[str, ...]:
        """Make the device usable again, and what lies in its memory right, whatever became of both.

        The queue is emptied, memory that needs it is initialised, and what is not what was sent is sent again. Sessions
        read their tokens again when they are next used.

        Returns
        -------
        tuple of str
            What was sent again.

        Raises
        ------
        DeviceError, LinkError
            It is another device than the one that was opened, or cannot be reached.
        """
        with self._driver.turn:
            self._driver.recover(suspect=True)
            return self._driver.upkeep.mend()

    def counters(self) -> dict[str, int]:
        """Counters of the gateware, all of the same cycle: dict of int. See `contract.registers.COUNTER_TEXT`."""
        driver = self._driver
        with driver.turn:
            driver.check_open()
            driver.bank.write("control", CONTROL_LATCH)
            driver.bank.wait(STATUS_LATCHING, 0, driver.queue.floor_s, "the counters were not copied")
            words, names = driver.bank.read_counters(), counters_of(driver.bank.parts)
        return {name: words[2*index] | words[2*index + 1] << 32 for index, name in enumerate(names)}

    def reset_counters(self) -> None:
        """Set the counters to zero."""
        with self._driver.turn:
            self._driver.check_open()
            self._driver.bank.write("control", CONTROL_COUNTERS)

    def link_bytes(self) -> dict[str, int]:
        """Bytes that the link has carried since it was opened: dict of int.

        ``sent`` and ``received`` with the protocol's headers, ``written`` and ``read`` payload alone.
        """
        counters = self._driver.link.counters
        return {"sent": counters.sent_bytes, "received": counters.received_bytes, "written": counters.written_bytes,
            "read": counters.read_bytes}

    def info(self) -> dict[str, Any]:
        """What the device says about itself: dict of str, int, float and bool, ready for JSON."""
        driver, config = self._driver, self.config
        return {
            "url":              self.url,
            "contract_version": VERSION,
            "contract_digest":  f"{digest(config.parts):016x}",
            "clock_hz":         self.clock_hz,
            **config.to_dict(),
            "lanes":            config.lanes,
            "macs_per_cycle":   config.rows*config.lanes,
            "port_bytes_per_s": config.beat_bytes*self.clock_hz,
            "mem_base":         driver.mem_base,
            "mem_bytes":        driver.mem_bytes,
            "mem_free_bytes":   driver.memory.free_bytes,
            "csr_address":      driver.bank.base,
        }

