# SPDX-License-Identifier: BSD-2-Clause
"""A program in a device's memory, and the memory of the sessions that it serves."""

import time
import zlib
from contextlib import contextmanager

import numpy as np

from mixpe.devices.batch import Batches
from mixpe.devices.resident import Sent
from mixpe.devices.run import Run, RunEnd
from mixpe.devices.sessions import SessionRegion
from mixpe.program.assemble import ENDS, assemble
from mixpe.program.place import CONSTANTS
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.digest import digest
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import RECORD_BYTES

RECORD_CYCLES = 1000  # most that a record takes beside its bytes: checks, start, drain


class _Region(Sent):
    """A region of the device's memory; `contents` gives what is sent there: an iterator of (offset, (bytes,) uint8)."""

    def __init__(self, driver, name, size, contents=None):
        super().__init__(driver, name)
        self.contents = contents
        self.addr     = driver.memory.allocate(size)
        self._parts   = []  # (offset, size, CRC-32), whole beats

    def _beats(self):
        """The contents in whole beats."""
        for offset, data in self.contents():
            yield offset, np.concatenate([data, np.zeros(-data.size % self.driver.config.beat_bytes, np.uint8)])

    def send(self):
        """Write the contents."""
        self._parts = []
        for offset, data in self._beats():
            self.driver.transfer.upload(self.addr + offset, data, self.driver.verify != "none")
            self._parts.append((self.addr + offset, data.size, zlib.crc32(data)))
        self.driver.upkeep.add(self)

    @property
    def crc(self):
        """Of all that was sent."""
        return zlib.crc32(np.array([crc for *_, crc in self._parts], "<u4").tobytes())

    def parts(self):
        return self._parts

    def send_again(self, indices):
        for index, (offset, data) in enumerate(self._beats()):
            if index in indices:
                self.driver.transfer.upload(self.addr + offset, data, True)

    def free(self):
        self.driver.upkeep.remove(self)
        self.driver.memory.free(self.addr)


class _Records:
    """A program's words in the device's memory; `how` is the rest of what `assemble` takes."""

    def __init__(self, program, region, how):
        self.program, self.region = program, region
        self.words, self.identity = assemble(program, *how)
        region.contents = lambda: [(0, self.words.reshape(-1).view(np.uint8))]
        region.send()


class DeviceProgram:
    """A program with its constants on a device; its weights are there already.

    A prompt is run in passes of several tokens, where the program has them; what of it fills no such pass comes first.

    Parameters
    ----------
    driver : Driver
        With a decoder.
    program : Program
        Compiled for the device's configuration.
    layers : dict of section → DeviceLinear
        The program's matrices.
    contents : callable
        Gives the constants' contents anew: an iterator of (offset, (bytes,) uint8).
    ends : iterable of int
        Tokens that end a text.

    Attributes
    ----------
    seconds : float
        In runs, with the link.
    ends : tuple of int
        Tokens that end a text on the device.
    batches : Batches
        For passes whose rows are sessions.
    regions : list
        Of the device's memory, that are given back with it.

    Raises
    ------
    DeviceMemoryError
        It does not fit; nothing is left behind.
    VerifyError
    """

    def __init__(self, driver, program, layers, contents, ends=()):
        self.driver, self.program = driver, program
        self._layers  = layers
        self.regions  = []
        self.seconds  = 0.0
        self.ends     = tuple(sorted(ends)[:ENDS])
        self.batches  = Batches(self)
        with driver.turn:
            self._place(contents)

    def _place(self, contents):
        driver, program, layers = self.driver, self.program, self._layers
        try:
            self._constants = self.region("the constants", program.constants.size, contents)
            regions = [(each, self.region(f"the program of {each.rows} a pass", each.bytes))
                for each in (program, program.block) if each is not None]
            self._constants.send()
            addresses = {CONSTANTS: self._constants.addr, **{name: layer.addrs[0] for name, layer in layers.items()}}
            salt = np.array([self._constants.crc, *(layer.crcs[0] for layer in layers.values())], "<u4").tobytes()
            salt += digest(driver.config.parts).to_bytes(8, "little")
            self._how = addresses, self.ends, salt
            self._records = [_Records(each, region, self._how) for each, region in regions]
        except BaseException:
            self.free()
            raise

    def region(self, name, size, contents=None):
        """Memory that is given back with the program's."""
        region = _Region(self.driver, name, size, contents)
        self.regions.append(region)
        return region

    def records_of(self, program):
        """Put another program of the same constants and weights to memory."""
        region = self.region(f"the program of {program.rows} sessions a pass", program.bytes)
        return _Records(program, region, self._how)

    def give_back(self, kept):
        """Give all regions back but the first ones."""
        with self.driver.turn:
            while len(self.regions) > kept:
                self.regions.pop().free()

    def free(self):
        """Give its memory back; not the weights'."""
        self.give_back(0)

    def prepare(self):
        """See to it that the device has all that a run reads, as it was sent; see `Driver.prepare`."""
        self.driver.prepare([*self._layers.values(), *self.regions])

    def open_session(self):
        """Memory of a new session.

        Returns
        -------
        SessionRegion

        Raises
        ------
        DeviceMemoryError
            There is no room for one more.
        """
        return SessionRegion(self)

    def run(self, session, tokens, position, count, prompt, listed=False, more=False):
        """Run passes, after `prepare`.

        Parameters
        ----------
        session : SessionRegion
        tokens : list of int
            The prompt's, or one.
        position : int
            Of the first of them.
        count : int
            Passes; with a prompt, its tokens.
        prompt : bool
        listed : bool
            `SessionRegion.top` is wanted.
        more : bool
            Further tokens of the prompt follow: nothing is chosen.

        Returns
        -------
        RunEnd
        """
        block = self._records[-1]
        first = count % block.program.rows if prompt else count  # tokens that are run one by one
        parts = [(self._records[0], 0, first), (block, first, count - first)]
        runs  = [(each, self._run_of(each, session, tokens, position, done, some, prompt, listed=listed,
            more=prompt and (more or done + some < count))) for each, done, some in parts if some]
        with self.timed():
            if prompt:
                self.driver.write_memory(session.tokens_addr, np.array(tokens, "<u4"))
            return self._completed(runs, session.places)

    @contextmanager
    def timed(self):
        """The device for this thread alone; its time counts as that of runs."""
        start = time.perf_counter()
        with self.driver.turn:
            try:
                yield
            finally:
                self.seconds += time.perf_counter() - start

    def _run_of(self, records, session, tokens, position, done, count, prompt, **options):
        """The run of some tokens, those from `done` on."""
        position, rows = position + done, records.program.rows
        return Run(program_addr=records.region.addr, tokens_addr=session.tokens_addr + 4*done,
            state_addr=session.state_addr, state_bytes=self.program.session.size, token=int(tokens[0]),
            position=position, identity=records.identity, count=count, prompt=prompt, **options,
            limit_cycles=-(-count//rows)*self.pass_cycles(records.program, position + count))

    def _completed(self, runs, left):
        """Run one after the other until one fails; how all of them ended. Tokens of a part of a pass do not count."""
        cycles = passes = 0
        for records, run in runs:
            end     = self.driver.run_program(run, left)
            cycles += end.cycles
            passes += end.passes//records.program.rows*records.program.rows
            if end.code != JobCode.OK:
                break
        return RunEnd(end.code, cycles, passes, end.record)

    def pass_cycles(self, program, positions):
        """More cycles than a pass takes, on a memory that gives half a beat a cycle."""
        beat    = self.driver.config.beat_bytes
        weights = sum(sum(layer.plan.stream_bytes) for layer in self._layers.values())
        moved   = sum(place.size for line in program.lines if line.opcode != Opcode.ATTENTION
            for place in (*line.reads, *line.writes) if place.section == "session")
        kept    = program.own or program.session
        cache   = kept.cache_bytes*positions//kept.context
        cache  *= program.rows
        moved  *= program.rows  # of results by columns all rows are read for each
        return RECORD_CYCLES*program.records + 2*(weights + RECORD_BYTES*program.records + 4*cache)//beat + moved
