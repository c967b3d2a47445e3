# SPDX-License-Identifier: BSD-2-Clause
"""Byte streams to a device. Every wait has a limit, and a limit that is reached is an exception."""

import errno
import select
import socket
import time
from abc import ABC, abstractmethod

from mixpe.errors import LinkError, LinkTimeout

RECEIVE_BYTES = 1 << 17
REFUSAL = b"BSY"  # then the end of the stream: what the simulated link has for a second client


class Transport(ABC):
    """A byte stream with limits on each wait.

    Attributes
    ----------
    url : str
        For messages.
    has_backpressure : bool
        The device's side never drops a byte that it cannot take yet.
    rates_tried : tuple of int
        Baud rates at which nobody answered, where the rate was searched in vain.
    """

    url = ""
    has_backpressure = False
    rates_tried = ()

    @abstractmethod
    def send(self, data, timeout_s):
        """Send all of a buffer; `timeout_s` limits each wait for progress."""

    @abstractmethod
    def receive_into(self, view, timeout_s):
        """Fill a writable memoryview; `timeout_s` limits each wait for progress.

        Raises
        ------
        LinkTimeout
            Its attribute `received_bytes` says how much came.
        """

    @abstractmethod
    def receive(self, limit_s):
        """What is there, after a wait for the first byte: bytes; empty when none came within the limit."""

    @abstractmethod
    def reopen(self):
        """Begin anew, whatever became of the stream; raises as opening did."""

    @abstractmethod
    def drain(self, quiet_s):
        """Throw away what arrives until nothing came for `quiet_s`, but no longer than 20 times that.

        Returns
        -------
        int
            Bytes thrown away.
        """

    @abstractmethod
    def close(self):
        """Release the stream."""

    def timeout(self, what, count, total, timeout_s):
        """Return the LinkTimeout for a wait that ended."""
        error = LinkTimeout(f"{self.url}: {what} {count} of {total} bytes, then nothing for {timeout_s:g} s")
        error.received_bytes = count
        return error


class TcpTransport(Transport):
    """A TCP connection, for the simulated SoC or a serial port server."""

    def __init__(self, host, port, *, url, connect_timeout_s=5.0):
        self.url = url
        self.has_backpressure = host in ("127.0.0.1", "localhost", "::1")  # the simulated SoC
        self.address, self.connect_timeout_s = (host, port), connect_timeout_s
        self._connect()

    def _connect(self):
        url, (host, port), limit_s = self.url, self.address, self.connect_timeout_s
        try:
            self.socket = socket.create_connection((host, port), limit_s)
        except TimeoutError as error:
            raise LinkTimeout(f"{url}: no answer from {host} port {port} within {limit_s:g} s") from error
        except ConnectionRefusedError as error:
            raise LinkError(f"{url}: nothing listens on {host} port {port}; `mixpe sim` prints the URL of a simulated "
                            "device") from error
        except OSError as error:
            raise LinkError(f"{url}: cannot connect to {host} port {port}: {error}") from error
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.poll_in, self.poll_out = select.poll(), select.poll()
        self.poll_in.register(self.socket, select.POLLIN)
        self.poll_out.register(self.socket, select.POLLOUT)

    def _quick_ack(self):
        # The kernel forgets this option now and then, so it is set after each wait; other systems have none.
        if hasattr(socket, "TCP_QUICKACK"):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _broken(self, error, received=b""):
        if bytes(received) == REFUSAL:
            return LinkError(f"{self.url}: another client is connected; close it, since a device serves one at a time")
        return LinkError(f"{self.url}: the device closed the connection" + (f" ({error})" if error else ""))

    def send(self, data, timeout_s):
        view = memoryview(data).cast("B")
        sent = 0
        while sent < len(view):
            try:
                sent += self.socket.send(view[sent:])
            except BlockingIOError:
                if not self.poll_out.poll(timeout_s*1000):
                    raise self.timeout("sent", sent, len(view), timeout_s) from None
            except OSError as error:
                raise self._broken(error) from error

    def receive_into(self, view, timeout_s):
        received = 0
        while received < len(view):
            try:
                count = self.socket.recv_into(view[received:])
            except BlockingIOError:
                self._quick_ack()
                if not self.poll_in.poll(timeout_s*1000):
                    raise self.timeout("received", received, len(view), timeout_s) from None
                continue
            except OSError as error:
                raise self._broken(error, view[:received]) from error
            if count == 0:
                raise self._broken(None, view[:received])
            received += count

    def receive(self, limit_s):
        if not self.poll_in.poll(0):
            self._quick_ack()
            if not self.poll_in.poll(limit_s*1000):
                return b""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
            if data != REFUSAL:
                if not data:
                    raise self._broken(None)
                return data
            if self.poll_in.poll(limit_s*1000) and not self.socket.recv(1, socket.MSG_PEEK):
                raise self._broken(None, data)
            return data
        except BlockingIOError:
            return b""
        except OSError as error:
            if isinstance(error, LinkError):
                raise
            raise self._broken(error) from error

    def reopen(self):
        self.socket.close()
        self._connect()

    def drain(self, quiet_s):
        end = time.monotonic() + 20*quiet_s
        dropped = 0
        while time.monotonic() < end and self.poll_in.poll(quiet_s*1000):
            try:
                count = len(self.socket.recv(65536))
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._broken(error) from error
            if count == 0:
                raise self._broken(None)
            dropped += count
        return dropped

    def close(self):
        self.socket.close()


class SerialTransport(Transport):
    """A serial port."""

    def __init__(self, path, *, baudrate, url):
        import serial
        self.url = url
        self.path = path
        self.baudrate = baudrate
        self.errors = (serial.SerialException, OSError)
        self._connect()

    def _connect(self):
        import serial
        url, path = self.url, self.path
        try:
            self.port = serial.Serial(path, self.baudrate, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            code = getattr(error, "errno", None)
            if code in (errno.EAGAIN, errno.EBUSY):
                raise LinkError(f"{url}: serial port {path} is in use; close the program that has it open "
                                f"(`fuser {path}` names it)") from error
            if code in (errno.EACCES, errno.EPERM):
                raise LinkError(f"{url}: you may not open serial port {path}; join the group it belongs to (on Debian: "
                                "sudo adduser $USER dialout, then log in again)") from error
            raise LinkError(f"{url}: cannot open serial port {path}: {error}; `python -m serial.tools.list_ports` "
                            "lists the ports") from error
        # USB adapters wait 16 ms for more bytes before they hand a short answer on; Linux can make it 1 ms.
        try:
            self.port.set_low_latency_mode(True)
        except (AttributeError, NotImplementedError, ValueError, *self.errors):
            pass  # no such adapter or system: only slower
        self.port.reset_input_buffer()

    def set_baudrate(self, baudrate):
        """Change the rate; False when the port cannot have it."""
        try:
            self.port.baudrate = baudrate
        except (*self.errors, ValueError):
            return False
        self.baudrate = baudrate
        return True

    def send(self, data, timeout_s):
        import serial
        view = memoryview(data).cast("B")
        # Pieces, so that the limit is on progress and not on the whole.
        piece = max(256, int(self.baudrate/10*timeout_s/4))
        self.port.write_timeout = timeout_s
        for start in range(0, len(view), piece):
            try:
                self.port.write(view[start:start + piece])
            except serial.SerialTimeoutException:
                raise self.timeout("sent", start, len(view), timeout_s) from None
            except self.errors as error:
                raise LinkError(f"{self.url}: writing failed: {error}") from error

    def receive_into(self, view, timeout_s):
        received = 0
        while received < len(view):
            try:
                self.port.timeout = timeout_s
                data = self.port.read(max(1, min(len(view) - received, self.port.in_waiting)))
            except self.errors as error:
                raise LinkError(f"{self.url}: reading failed: {error}") from error
            if not data:
                raise self.timeout("received", received, len(view), timeout_s)
            view[received:received + len(data)] = data
            received += len(data)

    def receive(self, limit_s):
        try:
            self.port.timeout = limit_s
            return self.port.read(max(1, self.port.in_waiting))
        except self.errors as error:
            raise LinkError(f"{self.url}: reading failed: {error}") from error

    def reopen(self):
        self.port.close()
        self._connect()

    def drain(self, quiet_s):
        end = time.monotonic() + 20*quiet_s
        dropped = 0
        try:
            self.port.timeout = quiet_s
            while time.monotonic() < end:
                data = self.port.read(max(1, self.port.in_waiting))
                if not data:
                    break
                dropped += len(data)
        except self.errors as error:
            raise LinkError(f"{self.url}: reading failed: {error}") from error
        return dropped

    def close(self):
        self.port.close()
