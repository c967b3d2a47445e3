# SPDX-License-Identifier: BSD-2-Clause
"""Datagrams to a device and from it. They may get lost, come twice, or overtake each other."""

import errno
import select
import socket
import time

from mixpe.errors import LinkError, LinkTimeout

PACKET_BYTES = 2048  # more than an Ethernet frame carries


class UdpCarrier:
    """A UDP socket that speaks to one device.

    Parameters
    ----------
    host : str
    port : int
        Of the device. LiteEth answers to the same number, so this machine's must be free too.
    url : str
        For messages.

    Raises
    ------
    LinkError
        The host is unknown, or the port is in use here.
    """

    def __init__(self, host, port, *, url):
        self.url = url
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, port))
                mine = probe.getsockname()[0]
            self.socket = made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        except OSError as error:
            raise LinkError(f"{url}: cannot reach {host}: {error}") from error
        try:
            made.bind((mine, port))
            made.connect((host, port))
            made.setblocking(False)
        except OSError as error:
            made.close()
            why = (f"UDP port {port} of {mine} is in use; close the program that is connected to the board: answers "
                f"go to one") if error.errno == errno.EADDRINUSE else str(error)
            raise LinkError(f"{url}: {why}") from error

    def send(self, packet, timeout_s):
        """Send a packet; raises LinkTimeout when this machine does not take it within the limit."""
        if not select.select([], [self.socket], [], timeout_s)[1]:
            raise LinkTimeout(f"{self.url}: a packet could not be sent within {timeout_s:g} s")
        try:
            self.socket.send(packet)
        except (BlockingIOError, ConnectionRefusedError):
            pass  # lost here, or refused because of an earlier one: what is not answered is sent again
        except OSError as error:
            raise LinkError(f"{self.url}: sending failed: {error}") from error

    def receive(self, limit_s):
        """The next packet; None when there comes none within the limit."""
        end = time.monotonic() + limit_s
        while select.select([self.socket], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                return self.socket.recv(PACKET_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                pass
            except OSError as error:
                raise LinkError(f"{self.url}: receiving failed: {error}") from error
        return None

    def close(self):
        self.socket.close()
