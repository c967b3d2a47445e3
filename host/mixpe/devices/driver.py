# SPDX-License-Identifier: BSD-2-Clause
"""What every device is driven by: its registers, queue and memory, over a link that reads and writes bus addresses."""

from threading import RLock

from mixpe.devices.bank import RegisterBank
from mixpe.devices.inputs import as_rows
from mixpe.devices.jobqueue import JobQueue
from mixpe.devices.memory import ActivationSpace, Allocator
from mixpe.devices.ready import wait_for_memory
from mixpe.devices.run import RunEnd
from mixpe.devices.stage import Stage
from mixpe.devices.transfer import Transfer
from mixpe.devices.turns import in_turn
from mixpe.devices.upkeep import Upkeep
from mixpe.errors import DamageError
from mixpe_gateware.contract.errors import ConfigError, DeviceError, MixpeError
from mixpe_gateware.contract.program.run import RUN_TOKENS
from mixpe_gateware.contract.registers import STATUS_CHECKSUM

RESULT_BYTES = 4 << 20  # largest result buffer of one job
VERIFY       = ("all", "weights", "none")


class Driver:
    """Behind each `Device`: what layers, programs, sessions, tests and measurements use of it.

    Parameters
    ----------
    link, url, rate_hz, floor_s, ready_s, verify, csr_base, check_s, twice
        As of `Device`.

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
        self.closed    = False
        self._endings  = []
        self.transfer  = Transfer(self.bank, self.queue.limit_s)
        self._prepare_device()
        self.bank.wait(STATUS_CHECKSUM, 0, floor_s, "a checksum that another program started did not end")

    @in_turn
    def close(self):
        """As `Device.close`."""
        if not self.closed:
            self.closed = True
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
        if self.closed:
            raise DeviceError(f"the device {self.url} was closed; open it again")

    def run(self, requests):
        """As `Device.run`."""
        with self.turn:
            self.check_open()
            inputs, shared, calls = {}, {}, []
            for linear, x in requests:
                if linear.driver is not self:
                    raise DeviceError(f"a layer of {linear.driver.url} cannot run on {self.url}")
                key = id(x), linear.plan.k
                if key not in inputs:
                    inputs[key] = as_rows(x, linear.plan.k)
                rows, axes = inputs[key]
                calls.append((linear.call(rows, shared), axes))
            self.prepare([linear for linear, _ in requests])
            self.execute([call for call, _ in calls])
            results = [(call.result(), axes) for call, axes in calls]
        return [y if len(axes) == 1 else y.reshape(*axes, y.shape[1]) for y, axes in results]

    def prepare(self, residents):
        """Recover after trouble, and bring back what it has cost of residents that are to be used.

        Raises
        ------
        DamageError
            See `Upkeep.before_use`.
        """
        with self.turn:
            self.recover()
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
            self.recover()
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
        self.recover()
        try:
            self.queue.post(job)
            return self.queue.collect()
        except BaseException as error:
            self._suspect = True
            if isinstance(error, MixpeError):
                self._try_recover()
            raise

    @in_turn
    def run_program(self, run, left=()):
        """Run a program and wait for its end; where each job runs twice, see that it leaves the same both times.

        Parameters
        ----------
        run : Run
            It reads nothing that it has written: the same run again does the same.
        left : sequence of (offset, size)
            What it may write, in whole beats; of a run that ends with a code nothing is said of it.

        Returns
        -------
        RunEnd
            Of the first time. No error is raised for a code.

        Raises
        ------
        ConfigError
            The device has no decoder.
        DamageError
            It did not do the same twice.
        """
        if not self.config.decoder:
            raise ConfigError(f"the device {self.url} has no decoder")
        end = self._end_of(run)
        for _ in range(self.copies - 1):
            seen  = [self.checksum(*part) for part in left]
            again = self._end_of(run)
            if again.outcome != end.outcome or not end.code and [self.checksum(*part) for part in left] != seen:
                self._suspect = True
                self._try_recover()
                raise DamageError("a run of the program was not the same twice: the device "
                    f"{self.url} computed or kept something wrong; what its sessions hold is read again before it is "
                    "used", ("the program",))
        return end

    def _end_of(self, run):
        done = self.run_job(run)
        return RunEnd(done.code, done.cycles, *self.bank.read(RUN_TOKENS, 2))  # and RUN_RECORD behind it

    @in_turn
    def write_memory(self, offset, data):
        """Write a buffer or array at an offset of the device's memory, unverified."""
        self.check_open()
        self.transfer.write(offset, data)

    @in_turn
    def read_memory(self, offset, size):
        """Read bytes at an offset of the device's memory: (size,) uint8."""
        self.check_open()
        return self.transfer.read(offset, size)

    @in_turn
    def checksum(self, offset, size):
        """CRC-32 of a region, computed by the device. Offset and size are multiples of the beat."""
        self.recover()
        return self.transfer.checksum(offset, size)

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
            self.recover()
        except MixpeError:
            self._suspect = True

    def recover(self, suspect=False):
        """Bring the device back to rest where something went wrong, or may have (`suspect`).

        Raises
        ------
        DeviceError, LinkError
            It is another device than the one that was opened, or cannot be reached.
        """
        self.check_open()
        self._suspect |= suspect
        if self._all_breaks != self._breaks:
            self._suspect, self._breaks = True, self._all_breaks
        if self._suspect:
            self.bank.check_identity()
            self._prepare_device()
            self._suspect = False
            self.epoch += 1  # a descriptor that went wrong may have written anywhere


def driver_of(device):
    """What is behind a Device, for the parts of this package that need more of it than a user."""
    return device._driver
