# SPDX-License-Identifier: BSD-2-Clause
"""A memory behind LiteDRAM native ports for the Migen simulator, with random stalls everywhere."""

from collections import deque
from types import SimpleNamespace

import numpy as np
from litedram.common import LiteDRAMNativePort
from migen import passive


class PortMemory:
    """A byte array that serves native ports as LiteDRAM's crossbar does.

    Commands are taken in order; reads answer later and cannot be stalled; a write takes its data some cycles after its
    command, those bytes whose enable is set. Every delay is random. A write without data at hand is an error: a real
    memory would take garbage.

    Parameters
    ----------
    data_width : int
    size_bytes : int
    seed : int
    stall : float
        Probability that nothing happens in a cycle, for commands and answers alike.
    latency : int
        Least cycles from command to answer.
    """

    def __init__(self, data_width, size_bytes, *, seed=0, stall=0.3, latency=5):
        self.data_width = data_width
        self.beat_bytes = data_width//8
        self.bytes  = np.zeros(size_bytes, np.uint8)
        self.random = np.random.default_rng(seed)
        self.stall, self.latency = stall, latency
        self.ports, self.writes = [], []
        self.cycle = 0

    def get_port(self, mode="both"):
        """A further port, as `LiteDRAMCrossbar.get_port`."""
        port = LiteDRAMNativePort(mode, 32, self.data_width, id=len(self.ports))
        self.ports.append(port)
        return port

    def generators(self):
        return [self._serve(port) for port in self.ports]

    @passive
    def _serve(self, port):
        queue, cycle = deque(), 0
        state = SimpleNamespace(ready=0, rvalid=0, wready=0)
        while True:
            if state.ready and (yield port.cmd.valid):
                address = (yield port.cmd.addr)
                if (address + 1)*self.beat_bytes > self.bytes.size:
                    raise IndexError(f"beat {address} is outside the memory of {self.bytes.size} bytes")
                queue.append(((yield port.cmd.we), address*self.beat_bytes, cycle + self.latency))
            if state.wready:
                if not (yield port.wdata.valid):
                    raise AssertionError("a write command has no data")
                value = (yield port.wdata.data)
                mask  = (yield port.wdata.we)
                for index, byte in enumerate(value.to_bytes(self.beat_bytes, "little")):
                    if mask >> index & 1:
                        self.bytes[state.address + index] = byte
                self.writes.append(state.address)
            state.rvalid = state.wready = 0
            if queue and queue[0][2] <= cycle and self.random.random() >= self.stall:
                we, state.address, _ = queue.popleft()
                state.wready, state.rvalid = int(we), int(not we)
            if state.rvalid:
                data = self.bytes[state.address:state.address + self.beat_bytes]
                yield port.rdata.data.eq(int.from_bytes(data.tobytes(), "little"))
            state.ready = int(self.random.random() >= self.stall)
            yield port.cmd.ready.eq(state.ready)
            yield port.rdata.valid.eq(state.rvalid)
            yield port.wdata.ready.eq(state.wready)
            cycle += 1
            yield
