# SPDX-License-Identifier: BSD-2-Clause
"""From a URL to a link."""

from mixpe.errors import UrlError
from mixpe.link.autobaud import BAUDRATES, find_baudrate
from mixpe.link.etherbone import WINDOW, EtherboneLink
from mixpe.link.framelink import FrameLink
from mixpe.link.recognise import frames_answer_s
from mixpe.link.transport import SerialTransport, TcpTransport
from mixpe.link.uartbone import UartBoneLink
from mixpe.link.udp import UdpCarrier
from mixpe.link.url import BAUDRATE, DeviceUrl, parse_url

TIMEOUT_S = 2.0


def open_link(url, *, is_device=None):
    """Open the link to a device. Behind a byte stream it is one of frames where the bridge takes them.

    Parameters
    ----------
    url : str or DeviceUrl
        ``serial://``, ``serial+tcp://`` or ``etherbone://``; options ``timeout_s``, ``window`` (read requests in
        flight), ``baudrate``.
    is_device : callable, optional
        How to know the device: `mixpe.link.autobaud.find_baudrate`. With it the baud rate is found by asking at the
        usual rates where the URL has none.

    Returns
    -------
    mixpe.link.Link

    Raises
    ------
    UrlError
        The URL cannot be understood, or names no link.
    LinkError
        No such port, nothing listens there.
    """
    url    = url if isinstance(url, DeviceUrl) else parse_url(url)
    limits = {"timeout_s": url.seconds("timeout_s", TIMEOUT_S), "window": url.integer("window", None)}
    if url.scheme == "etherbone":
        carrier, kind = UdpCarrier(url.host, url.port, url=url.text), EtherboneLink
        limits["window"] = limits["window"] or WINDOW
    elif url.scheme == "serial+tcp":
        carrier, kind = TcpTransport(url.host, url.port, url=url.text), UartBoneLink
    elif url.scheme == "serial":
        baudrate = url.integer("baudrate", BAUDRATE)
        carrier, kind = SerialTransport(url.path, baudrate=baudrate, url=url.text), UartBoneLink
    else:
        raise UrlError(f"{url.text}: {url.scheme} is no link; open it with mixpe.open")
    try:
        if url.scheme == "serial" and is_device is not None and "baudrate" not in url.options:
            if find_baudrate(carrier, is_device) is None:
                carrier.rates_tried = BAUDRATES
        if kind is UartBoneLink and (answer_s := frames_answer_s(carrier, limits["timeout_s"])) is not None:
            return FrameLink(carrier, answer_s=answer_s, **limits)
        return kind(carrier, **limits)
    except BaseException:
        carrier.close()
        raise
