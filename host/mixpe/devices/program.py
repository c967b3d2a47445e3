# SPDX-License-Identifier: BSD-2-Clause
"""A program in a device's memory, and the memory of the sessions that it serves."""

import time
import zlib

import numpy as np

from mixpe.devices.run import Run, RunEnd
from mixpe.errors import DeviceMemoryError
from mixpe.program.assemble import assemble
from mixpe.program.place import CONSTANTS
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.digest import digest
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import RECORD_BYTES

RECORD_CYCLES = 1000  # most that a record takes beside its bytes: checks, start, drain


class _Region:
    """A region of the device's memory with what was sent there."""

    def __init__(self, device, size):
        self.device, self.size = device, size
        self.addr   = device.memory.allocate(size)
        self._parts = []  # (offset, size, CRC-32), whole beats

    def send(self, offset, data, keep=True):
        """Write (bytes,) uint8; `keep`: `is_whole` looks at it."""
        beat = self.device.config.beat_bytes
        data = np.concatenate([data, np.zeros(-data.size % beat, np.uint8)])
        self.device.transfer.upload(self.addr + offset, data, self.device.verify != "none")
        if keep:
            self._parts.append((offset, data.size, zlib.crc32(data)))

    @property
    def crc(self):
        """Of all that was sent."""
        return zlib.crc32(np.array([crc for *_, crc in self._parts], "<u4").tobytes())

    def is_whole(self):
        """Whether the device still holds what was sent."""
        return all(self.device.checksum(self.addr + offset, size) == crc for offset, size, crc in self._parts)

    def free(self):
        self.device.memory.free(self.addr)


class _Records:
    """A program's words in the device's memory."""

    def __init__(self, program, region, addresses, ends, salt):
        self.program, self.region = program, region
        self.words, self.identity = assemble(program, addresses, ends, salt)
        self.send()

    def send(self):
        self.region.send(0, self.words.reshape(-1).view(np.uint8))


class DeviceProgram:
    """A program with its constants on a device; its weights are there already.

    A prompt is run in passes of several tokens, where the program has them; what of it fills no such pass comes first.

    Parameters
    ----------
    device : Device
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

    Raises
    ------
    DeviceMemoryError
        It does not fit; nothing is left behind.
    VerifyError
    """

    def __init__(self, device, program, layers, contents, ends=()):
        self.device, self.program = device, program
        self._layers, self._contents = layers, contents
        self._regions = []
        self.seconds  = 0.0
        try:
            self._constants = self._region(program.constants.size)
            regions = [(each, self._region(each.bytes)) for each in (program, program.block) if each is not None]
            self._send_constants()
            addresses = {CONSTANTS: self._constants.addr, **{name: layer.addrs[0] for name, layer in layers.items()}}
            salt = np.array([self._constants.crc, *(layer.crcs[0] for layer in layers.values())], "<u4").tobytes()
            salt += digest(device.config.parts).to_bytes(8, "little")
            self._records = [_Records(each, region, addresses, ends, salt) for each, region in regions]
        except BaseException:
            self.free()
            raise
        self.epoch = device.epoch

    def _region(self, size):
        region = _Region(self.device, size)
        self._regions.append(region)
        return region

    def _send_constants(self):
        for offset, data in self._contents():
            self._constants.send(offset, data)

    def free(self):
        """Give its memory back; not the weights'."""
        regions, self._regions = self._regions, []
        for region in regions:
            region.free()

    def ensure(self):
        """After trouble on the device, see that all of it is still what was sent, and send what is not again."""
        if self.epoch == self.device.epoch:
            return
        parts = [(self._constants, self._send_constants), *((each.region, each.send) for each in self._records)]
        for region, send in parts:
            if not region.is_whole():
                region._parts.clear()
                send()
        self.epoch = self.device.epoch

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
        """Run passes.

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
        device, start = self.device, time.perf_counter()
        with device.turn:
            device.prepare(list(self._layers.values()))
            self.ensure()
            if prompt:
                device.write_memory(session.tokens_addr, np.array(tokens, "<u4"))
            try:
                return self._completed(runs)
            finally:
                self.seconds += time.perf_counter() - start

    def _run_of(self, records, session, tokens, position, done, count, prompt, **options):
        """The run of some tokens, those from `done` on."""
        position, rows = position + done, records.program.rows
        return Run(program_addr=records.region.addr, tokens_addr=session.tokens_addr + 4*done,
            state_addr=session.state_addr, state_bytes=self.program.session.size, token=int(tokens[0]),
            position=position, identity=records.identity, count=count, prompt=prompt, **options,
            limit_cycles=-(-count//rows)*self._pass_cycles(records.program, position + count))

    def _completed(self, runs):
        """Run one after the other until one fails; how all of them ended. Tokens of a part of a pass do not count."""
        cycles = passes = 0
        for records, run in runs:
            end     = self.device.run_program(run)
            cycles += end.cycles
            passes += end.passes//records.program.rows*records.program.rows
            if end.code != JobCode.OK:
                break
        return RunEnd(end.code, cycles, passes, end.record)

    def _pass_cycles(self, program, positions):
        """More cycles than a pass takes, on a memory that gives half a beat a cycle."""
        beat    = self.device.config.beat_bytes
        weights = sum(sum(layer.plan.stream_bytes) for layer in self._layers.values())
        moved   = sum(place.size for line in program.lines if line.opcode != Opcode.ATTENTION
            for place in (*line.reads, *line.writes) if place.section == "session")
        cache   = program.session.cache_bytes*positions//program.session.context
        cache  *= program.rows
        moved  *= program.rows  # of results by columns all rows are read for each
        return RECORD_CYCLES*program.records + 2*(weights + RECORD_BYTES*program.records + 4*cache)//beat + moved


class SessionRegion:
    """Memory of one session: what a token passes through, its cache, and ids of tokens.

    Attributes
    ----------
    state_addr, tokens_addr : int
        Offsets in the device's memory.
    """

    def __init__(self, program):
        self.program = program
        device, session = program.device, program.program.session
        self.state_addr = device.memory.allocate(session.size)
        try:
            self.tokens_addr = device.memory.allocate(4*(program.program.context + 1))
            device.transfer.upload(self.state_addr, np.zeros(session.zero_bytes, np.uint8), device.verify != "none")
        except DeviceMemoryError:
            device.memory.free(self.state_addr)
            raise

    def tokens(self, first, count):
        """Ids that a run wrote: list of int."""
        return self._read(self.tokens_addr + 4*first, 4*count).view("<u4").tolist() if count else []

    def top(self):
        """The largest logits of the last pass, of a run that listed them.

        Returns
        -------
        tokens : (64 or fewer,) int64
        logits : (64 or fewer,) float32
            Falling.
        """
        place = self.program.program.session["top"]
        pairs = self._read(self.state_addr + place.offset, place.size).view("<u4").reshape(-1, 2)
        return pairs[:, 0].astype(np.int64), np.ascontiguousarray(pairs[:, 1]).view(np.float32)

    def read(self, name):
        """A buffer's bytes: (size,) uint8."""
        place = self.program.program.session[name]
        return self._read(self.state_addr + place.offset, place.size)

    def _read(self, offset, size):
        device = self.program.device
        beat   = device.config.beat_bytes
        first  = offset//beat*beat
        whole  = -(-(offset + size - first)//beat)*beat
        return device.transfer.download(first, whole, device.verify == "all")[offset - first:offset - first + size]

    def free(self):
        """Give the memory back."""
        for addr in (self.state_addr, self.tokens_addr):
            self.program.device.memory.free(addr)
