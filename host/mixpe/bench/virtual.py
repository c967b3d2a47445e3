# SPDX-License-Identifier: BSD-2-Clause
"""The real driver and the real links, over wires on which only time passes: what a board's link would cost.

    Device ── FrameLink, UartBoneLink, EtherboneLink ── bytes or packets ──► wire and bridge with a clock ──► NullDevice

Every request, check and wait of the driver is there, so bytes and turns are counted and not estimated. The device takes
jobs, predicts their cycles and gives zeros as results.
"""

from collections import deque

import numpy as np

from mixpe.link.byteend import ByteEnd, FrameEnd
from mixpe.link.etherbone import EtherboneLink
from mixpe.link.farend import FarEnd
from mixpe.link.framelink import FrameLink
from mixpe.link.packets import HEADER, RECORD
from mixpe.link.transport import Transport
from mixpe.link.uartbone import UartBoneLink
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.jobs import JobCode, check_job
from mixpe_gateware.contract.program.run import RUN_WORDS

# Assumed, since they belong to the host: from a request's last bit to an answer's first one that the program sees.
# A USB adapter polls once a millisecond (in low-latency mode, which the link asks for); a switched network and two
# passes through an operating system take a fifth of that.
TURN_S = {"uart": 1e-3, "etherbone": 0.2e-3}
# Counted in the simulated SoC (`sim?link=etherbone`): of the bridge, for a word that is read or written.
READ_CYCLES, WRITE_CYCLES = 16.0, 9.0
FRAME_BYTES  = 66  # of each packet on the wire beside its payload: gap, preamble, Ethernet, IPv4, UDP, checksum
PACKET_WORDS = (len(HEADER) + RECORD.size)//4  # beside what a packet writes or reads
WRITES_BYTE  = len(HEADER) + 2                 # of a packet: how many words it writes
COUNT        = next(word for word in RUN_WORDS if word.name == "count")


class NullExecutor:
    """Checks jobs and does nothing."""

    def __init__(self, config, memory):
        self.config    = config
        self.mem_bytes = len(memory) - config.inbox_bytes

    def run(self, job):
        return check_job(job, self.config, self.mem_bytes)

    def written(self, start, size):
        pass


class NullRunner:
    """Takes runs and says that all passes were completed."""

    records = run_record = run_tokens = 0

    def run(self, words):
        self.run_tokens = COUNT.field("count").of(words[RUN_WORDS.index(COUNT)])
        return JobCode.OK


class NullDevice(ReferenceLink):
    """The reference device without its arithmetic."""

    def __init__(self, config, mem_bytes, clock_hz, timing=None):
        super().__init__(config, mem_bytes=mem_bytes, clock_hz=clock_hz, timing=timing)
        self.executor = NullExecutor(config, self.memory)
        self.runner   = NullRunner() if config.decoder else None


class NullCall:
    """A planned call without numbers: its activations are zeros, and nobody takes its results."""

    def __init__(self, plan, addrs):
        self.plan, self.addrs, self.acts, self.name = plan, addrs, self, "zeros"
        self._sizes = {step.acts: step.act_bytes for step in plan.steps}

    def image(self, block, _config):
        """As `Activations.image`."""
        return np.zeros(self._sizes[block], np.uint8)

    def take(self, step, raw):
        """As `FusedCall.take`."""


class Wire:
    """Two directions and a bridge, each busy until some time; and the time that it is for the host."""

    def __init__(self, bytes_per_s, turn_s):
        self.rate, self.half_s = bytes_per_s, turn_s/2
        self.now = self.up = self.bridge = self.down = 0.0

    @property
    def end(self):
        """When all that was sent has arrived and was carried out."""
        return max(self.now, self.up, self.bridge)

    def send(self, count, work_s=0.0):
        """The host sends so many bytes without waiting; returns when the bridge has carried them out."""
        self.up     = max(self.up, self.now) + count/self.rate
        self.bridge = max(self.bridge, self.up + self.half_s) + work_s
        return self.bridge

    def answer(self, count, ready):
        """Bytes go back from `ready` on; returns when the host has them."""
        self.down = max(self.down, ready) + count/self.rate
        return self.down + self.half_s

    def wait(self, until):
        """The host waits."""
        self.now = max(self.now, until)


class VirtualSerial(Transport):
    """A serial port at whose end a bridge works at the speed of the wire."""

    url = "virtual serial port"

    def __init__(self, end, baudrate):
        self.end     = end
        self.wire    = Wire(baudrate/10, TURN_S["uart"])
        self.answers = deque()  # (when, bytes), oldest first

    def send(self, data, timeout_s):
        for size, answer in self.end.frames(memoryview(data).cast("B")):
            ready = self.wire.send(size)
            if answer:
                self.answers.append((self.wire.answer(len(answer), ready), answer))

    def receive_into(self, view, timeout_s):
        received = 0
        while received < len(view):
            when, data = self.answers.popleft()
            part = data[:len(view) - received]
            view[received:received + len(part)] = part
            received += len(part)
            self.wire.wait(when)
            if len(part) < len(data):
                self.answers.appendleft((when, data[len(part):]))

    def receive(self, limit_s):
        if not self.answers:
            return b""
        when, data = self.answers.popleft()
        self.wire.wait(when)
        return data

    def reopen(self):
        self.end.leave()
        self.answers.clear()

    def drain(self, quiet_s):
        return 0

    def close(self):
        pass


class VirtualEtherbone:
    """A network at whose end gate and bridge work at the speed of the wire and of their clock."""

    url = "virtual network"

    def __init__(self, device, bytes_per_s, clock_hz):
        self.far, self.clock_hz = FarEnd(device), clock_hz
        self.wire    = Wire(bytes_per_s, TURN_S["etherbone"])
        self.answers = deque()  # (when, packet), oldest first

    def send(self, packet, timeout_s):
        words  = len(packet)//4 - PACKET_WORDS
        cycles = words*(WRITE_CYCLES if packet[WRITES_BYTE] else READ_CYCLES) if words > 0 else 0
        ready  = self.wire.send(len(packet) + FRAME_BYTES, cycles/self.clock_hz)
        answer = self.far.act(packet)
        if answer is not None:
            self.answers.append((self.wire.answer(len(answer) + FRAME_BYTES, ready), answer))

    def receive(self, limit_s):
        when, answer = self.answers.popleft()
        self.wire.wait(when)
        return answer

    def close(self):
        pass


def open_virtual(link, device, *, baudrate, ethernet_bytes_per_s, clock_hz, framed=False):
    """A link of a kind, ``"uart"`` or ``"etherbone"``, to a device without a wire; its wire is the second value.

    `framed`: the UART's bridge takes frames.

    Returns
    -------
    (Link, Wire)
    """
    if link == "uart":
        transport = VirtualSerial((FrameEnd if framed else ByteEnd)(device), baudrate)
        return (FrameLink if framed else UartBoneLink)(transport), transport.wire
    carrier = VirtualEtherbone(device, ethernet_bytes_per_s, clock_hz)
    return EtherboneLink(carrier), carrier.wire
