# SPDX-License-Identifier: BSD-2-Clause
"""A device behind a TCP port, in Python: UARTBone over a dictionary of words."""

import socket
import struct
import threading

import pytest


class FakeDevice:
    """Serves one client. `drop_bytes` of the next answers are swallowed; after `cut_after` of one it closes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.words = {}
        self.frames = []
        self.drop_bytes = 0
        self.cut_after = None
        self.in_flight_max = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"serial+tcp://127.0.0.1:{self.port}"

    def _serve(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        with client, client.makefile("rb") as stream:
            while True:
                head = stream.read(6)
                if len(head) < 6:
                    return
                command, length, address = struct.unpack(">BBI", head)
                self.frames.append((command, length, address))
                step = 1 if command in (1, 2) else 0
                if command in (1, 3):
                    values = struct.unpack(f">{length}I", stream.read(4*length))
                    self.words.update({address + step*i: value for i, value in enumerate(values)})
                    continue
                answer = struct.pack(f">{length}I", *(self.words.get(address + step*i, 0) for i in range(length)))
                dropped = min(self.drop_bytes, len(answer))
                self.drop_bytes -= dropped
                if self.cut_after is not None:
                    client.sendall(answer[:self.cut_after])
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer[dropped:])

    def close(self):
        self.listener.close()


@pytest.fixture
def device():
    fake = FakeDevice()
    yield fake
    fake.close()


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
