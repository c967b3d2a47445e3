# SPDX-License-Identifier: BSD-2-Clause
"""A TCP port on loopback in front of another, whose bytes suffer faults on the way."""

import select
import socket
import threading
import time
from contextlib import suppress

from mixpe_sim.faults.fault import DIRECTIONS, FaultyStream

CHUNK_BYTES = 1 << 16
POLL_S      = 0.2
CONNECT_S   = 10.0
LEAVE_S     = 1.0  # for a connection that the host has left to leave the device, too


class Proxy:
    """Carries connections to a device, with one fault at a time.

    Parameters
    ----------
    port : int
        Of the device, on 127.0.0.1.

    Attributes
    ----------
    url : str
        For `mixpe.open`.
    """

    def __init__(self, port):
        self._target   = port
        self._streams  = {name: FaultyStream() for name in DIRECTIONS}
        self._lock     = threading.Lock()
        self._closed   = False
        self._open     = set()  # sockets of connections
        self._serving  = None   # thread of the last connection
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url       = f"serial+tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def arm(self, fault=None):
        """Count bytes from here on; the next fault is this one."""
        with self._lock:
            for name, stream in self._streams.items():
                stream.arm(fault if fault is not None and fault.direction == name else None)

    @property
    def carried(self):
        """Bytes that came since `arm`: dict of str to int."""
        return {name: stream.carried for name, stream in self._streams.items()}

    @property
    def struck(self):
        """The fault that was armed has struck."""
        return any(stream.struck for stream in self._streams.values())

    def break_off(self):
        """End all connections."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        """Listen no more, and end all connections."""
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or its thread would wait on
        self._listener.close()
        self.break_off()

    def _listen(self):
        while not self._closed:
            try:
                host, _ = self._listener.accept()
            except OSError:
                return
            if self._serving is not None:
                self._serving.join(LEAVE_S)
            self._serving = threading.Thread(target=self._serve, args=(host,), daemon=True)
            self._serving.start()

    def _serve(self, host):
        try:
            device = socket.create_connection(("127.0.0.1", self._target), CONNECT_S)
        except OSError:
            host.close()
            return
        with host, device:
            for end in (host, device):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {host, device}
                for stream in self._streams.values():
                    stream.connect()
            try:
                while self._pass_on(host, device):
                    pass
            except OSError:
                pass  # an end is gone
            finally:
                with self._lock:
                    self._open -= {host, device}

    def _pass_on(self, host, device):
        """Carry what there is; false at the end of a connection."""
        ready = select.select([host, device], [], [], POLL_S)[0]
        for end in ready:
            data = end.recv(CHUNK_BYTES)
            if not data:
                return False
            name, other = ("up", device) if end is host else ("down", host)
            with self._lock:
                data, delay_s, is_cut = self._streams[name].carry(data)
            if delay_s:
                time.sleep(delay_s)
            other.sendall(data)
            if is_cut:
                return False
        return not self._closed
