# SPDX-License-Identifier: BSD-2-Clause
"""The driver: one class for every device, over a link that reads and writes bus addresses."""

from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np

from mixpe.devices.bank import RegisterBank
from mixpe.devices.inputs import as_rows
from mixpe.devices.jobqueue import JobQueue
from mixpe.devices.linear import DeviceLinear
from mixpe.devices.memory import ActivationSpace, Allocator
from mixpe.devices.ready import wait_for_memory
from mixpe.devices.run import RunEnd
from mixpe.devices.stage import Stage
from mixpe.devices.streams import LayerStream
from mixpe.devices.transfer import Transfer
from mixpe.devices.turns import in_turn
from mixpe.devices.upkeep import Upkeep
from mixpe.quant.matrix import QuantizedMatrix
from mixpe_gateware.contract.digest import VERSION, digest
from mixpe_gateware.contract.errors import ConfigError, DeviceError, MixpeError
from mixpe_gateware.contract.program.run import RUN_TOKENS
from mixpe_gateware.contract.registers import (
    CONTROL_COUNTERS,
    CONTROL_LATCH,
    STATUS_CHECKSUM,
    STATUS_LATCHING,
    counters_of,
)

RESULT_BYTES = 4 << 20  # largest result buffer of one job
VERIFY       = ("all", "weights", "none")


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
        Each job of a layer runs twice, and its results are taken where both are the same.
    check_s : float, optional
        Weights, programs and sessions that a call uses were looked at no longer ago than so many seconds; see `check`.

    Attributes
    ----------
    config : Config
    clock_hz : int
    epoch : int
        Counts recoveries: weights loaded before one are checked again before they are used.
    memory, inbox : Allocator
    act_space : ActivationSpace
        Over both.
    transfer : Transfer
        To and from its memory.
    copies : int
        Runs of each job.
    upkeep : Upkeep
        What lies in its memory to stay.
    turn : RLock
        Held by each call; hold it to make several of them one.
    streamed_bytes : int
        Bytes of weights, scales and zero points that all jobs so far have read.
    """

    def __init__(self, link, url, *, rate_hz=None, floor_s=5.0, ready_s=10.0, verify="all", csr_base=None,
            check_s=None, twice=False):
        if verify not in VERIFY:
            raise ConfigError(f"verify must be one of {VERIFY}, not {verify!r}")
        self.turn   = RLock()
        self.url    = url
        self.link   = link
        self.bank   = RegisterBank(link, url, csr_base)
        self.config = self.bank.config
        self.clock_hz  = self.bank.identity["clock_hz"]
        self.mem_base  = self.bank.identity["mem_base"]
        self.mem_bytes = self.bank.identity["mem_bytes"]
        self.verify    = verify
        self.copies    = 2 if twice else 1
        self.memory    = Allocator(self.mem_bytes)
        # The device computes checksums of its memory only, so where all is verified nothing goes to the inbox.
        self.inbox     = Allocator(0 if verify == "all" else self.config.inbox_bytes)
        self.act_space = ActivationSpace(self.memory, self.inbox, self.mem_bytes)
        self.queue     = JobQueue(self.bank, rate_hz=rate_hz or self.clock_hz, floor_s=floor_s, verify=verify == "all")
        self.out_bytes_max = min(RESULT_BYTES, self.mem_bytes//8)
        self.epoch     = 0
        self.upkeep    = Upkeep(self, check_s)
        self.streamed_bytes = 0
        self._suspect  = False  # the queue may hold jobs that nobody will collect
        self._breaks   = self._all_breaks
        self._ready_s  = ready_s
        self._closed   = False
        self._endings  = []
        self.transfer  = Transfer(self.bank, self.queue.limit_s)
        self._prepare_device()
        self.bank.wait(STATUS_CHECKSUM, 0, floor_s, "a checksum that another program started did not end")

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __repr__(self):
        return f"Device({self.url!r}, {self.config.name}{', closed' if self._closed else ''})"

    @in_turn
    def close(self) -> None:
        """Close the link, and stop what `open` started. A second call does nothing."""
        if not self._closed:
            self._closed = True
            try:
                self.link.close()
            finally:
                for ending in self._endings:
                    ending()

    def on_close(self, ending):
        """Have `ending()` called after the link is closed."""
        self._endings.append(ending)

    def check_open(self):
        """Raise DeviceError after `close`."""
        if self._closed:
            raise DeviceError(f"the device {self.url} was closed; open it again")

    # Layers.

    @in_turn
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
        self._recover()
        linear = DeviceLinear(self, matrix, activations, fused, remake, name)
        linear.place(memory or self.memory,
            lambda addr, stream: self.transfer.upload(addr, stream, self.verify != "none"), keep)
        self.upkeep.add(linear)
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
        """
        with self.turn:
            self.check_open()
            inputs: dict[tuple[int, int], Any] = {}
            shared: dict[Any, Any] = {}
            calls = []
            for linear, x in requests:
                if linear.device is not self:
                    raise DeviceError(f"a layer of {linear.device.url} cannot run on {self.url}")
                key = id(x), linear.plan.k
                if key not in inputs:
                    inputs[key] = as_rows(x, linear.plan.k)
                rows, axes = inputs[key]
                calls.append((linear.call(rows, shared), axes))
            self.prepare([linear for linear, _ in requests])
            self.execute([call for call, _ in calls])
            results = [(call.result(), axes) for call, axes in calls]
        return [y if len(axes) == 1 else y.reshape(*axes, y.shape[1]) for y, axes in results]

    # Jobs.

    def prepare(self, residents):
        """Recover after trouble, and bring back what it has cost of residents that are to be used.

        Raises
        ------
        DamageError
            See `Upkeep.before_use`.
        """
        with self.turn:
            self._recover()
            # Else there is nothing to look at, and a call goes through few files.
            if self.upkeep.check_s is not None or any(each.epoch != self.epoch for each in residents):
                self.upkeep.before_use(residents)

    def execute(self, calls):
        """Carry out planned calls with the queue kept full: activations of the next job are written while one runs.

        Parameters
        ----------
        calls : list of FusedCall, PartialsCall or alike
        """
        with self.turn:
            self._recover()
            stage = Stage(self, calls)
            try:
                stage.run()
            except BaseException as error:
                self._suspect = True
                stage.drop()
                if isinstance(error, MixpeError):
                    self._try_recover()
                raise

    @in_turn
    def run_job(self, job):
        """Run one descriptor exactly as it is, unchecked, and wait for it: for tests and measurements.

        Returns
        -------
        Done
            Its JobCode and its cycles; no error is raised for a code.
        """
        self._recover()
        try:
            self.queue.post(job)
            return self.queue.collect()
        except BaseException as error:
            self._suspect = True
            if isinstance(error, MixpeError):
                self._try_recover()
            raise

    def run_program(self, run):
        """Run a program and wait for its end.

        Parameters
        ----------
        run : Run

        Returns
        -------
        RunEnd
            No error is raised for a code.

        Raises
        ------
        ConfigError
            The device has no decoder.
        """
        if not self.config.decoder:
            raise ConfigError(f"the device {self.url} has no decoder")
        done = self.run_job(run)
        return RunEnd(done.code, done.cycles, *self.bank.read(RUN_TOKENS, 2))  # and RUN_RECORD behind it

    # Memory.

    @in_turn
    def write_memory(self, offset: int, data: Any) -> None:
        """Write a buffer or array at an offset of the device's memory, unverified."""
        self.check_open()
        self.transfer.write(offset, data)

    @in_turn
    def read_memory(self, offset: int, size: int) -> np.ndarray:
        """Read bytes at an offset of the device's memory: (size,) uint8."""
        self.check_open()
        return self.transfer.read(offset, size)

    @in_turn
    def checksum(self, offset: int, size: int) -> int:
        """CRC-32 of a region, computed by the device. Offset and size are multiples of the beat."""
        self._recover()
        return self.transfer.checksum(offset, size)

    @in_turn
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
        self._recover()
        return self.upkeep.check(older_s, limit_s)

    @in_turn
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
        self._suspect = True
        self._recover()
        return self.upkeep.mend()

    # What the device tells.

    @in_turn
    def counters(self) -> dict[str, int]:
        """Counters of the gateware, all of the same cycle: dict of int. See `contract.registers.COUNTER_TEXT`."""
        self.check_open()
        self.bank.write("control", CONTROL_LATCH)
        self.bank.wait(STATUS_LATCHING, 0, self.queue.floor_s, "the counters were not copied")
        words, names = self.bank.read_counters(), counters_of(self.bank.parts)
        return {name: words[2*index] | words[2*index + 1] << 32 for index, name in enumerate(names)}

    @in_turn
    def reset_counters(self) -> None:
        """Set the counters to zero."""
        self.check_open()
        self.bank.write("control", CONTROL_COUNTERS)

    def link_bytes(self) -> dict[str, int]:
        """Bytes that the link has carried since it was opened: dict of int.

        ``sent`` and ``received`` with the protocol's headers, ``written`` and ``read`` payload alone.
        """
        counters = self.link.counters
        return {"sent": counters.sent_bytes, "received": counters.received_bytes, "written": counters.written_bytes,
            "read": counters.read_bytes}

    def info(self) -> dict[str, Any]:
        """What the device says about itself: dict of str, int, float and bool, ready for JSON."""
        config = self.config
        return {
            "url":              self.url,
            "contract_version": VERSION,
            "contract_digest":  f"{digest(config.parts):016x}",
            "clock_hz":         self.clock_hz,
            **config.to_dict(),
            "lanes":            config.lanes,
            "macs_per_cycle":   config.rows*config.lanes,
            "port_bytes_per_s": config.beat_bytes*self.clock_hz,
            "mem_base":         self.mem_base,
            "mem_bytes":        self.mem_bytes,
            "mem_free_bytes":   self.memory.free_bytes,
            "csr_address":      self.bank.base,
        }

    # Inside.

    @property
    def _all_breaks(self):
        """Times that the link or the device began anew."""
        return self.link.breaks + self.bank.breaks

    def _prepare_device(self):
        wait_for_memory(self.bank, self.url, self._ready_s)
        self.queue.reset()
        self.bank.mark()

    def _try_recover(self):
        """Recover now if the link lets us; otherwise the next use tries again, and says what is wrong."""
        try:
            self._recover()
        except MixpeError:
            self._suspect = True

    def _recover(self):
        self.check_open()
        if self._all_breaks != self._breaks:
            self._suspect, self._breaks = True, self._all_breaks
        if self._suspect:
            self.bank.check_identity()
            self._prepare_device()
            self._suspect = False
            self.epoch += 1  # a descriptor that went wrong may have written anywhere
