# SPDX-License-Identifier: BSD-2-Clause
"""The reference device behind a TCP port, with a bridge in Python: as the simulated SoC, and much faster."""

import select
import socket
import threading
from contextlib import suppress

from mixpe.link.byteend import ByteEnd
from mixpe.link.transport import REFUSAL
from mixpe.reference.device import ReferenceLink

BRIDGE_S = 0.1  # without a byte inside a frame: the bridge forgets it


class ReferencePort:
    """Serves one client at a time, as the simulated SoC does.

    Parameters
    ----------
    config : Config
    mem_bytes : int
    bridge : callable
        Makes the bridge in front of a device.

    Attributes
    ----------
    device : ReferenceLink
    port : int
    failure : Exception or None
        What ended the service.
    """

    def __init__(self, config, mem_bytes, bridge=ByteEnd):
        self.device    = ReferenceLink(config, mem_bytes=mem_bytes)
        self.bridge    = bridge(self.device)
        self.failure   = None
        self._refused  = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port      = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or its thread would wait on
        self._listener.close()
        self._forget_refused()

    def _listen(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    self._serve(client)
                except (OSError, ValueError):
                    pass  # the client is gone, or the port was closed
                except Exception as error:
                    self.failure = error
                    return
            self.bridge.leave()

    def _serve(self, client):
        while True:
            ready = select.select([client, self._listener], [], [], BRIDGE_S)[0]
            if self._listener in ready and not select.select([client], [], [], 0)[0]:
                self._refuse()
            elif client in ready:
                data = client.recv(1 << 16)
                if not data:
                    return
                client.sendall(self.bridge.take(data))
            else:
                self.bridge.lapse()

    def _refuse(self):
        self._forget_refused()
        self._refused, _ = self._listener.accept()
        with suppress(OSError):
            self._refused.sendall(REFUSAL)
            self._refused.shutdown(socket.SHUT_WR)  # open until the next one, so that it can read why

    def _forget_refused(self):
        if self._refused is not None:
            self._refused.close()
