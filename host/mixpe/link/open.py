# SPDX-License-Identifier: BSD-2-Clause
"""From a URL to a link."""

from mixpe.errors import UrlError
from mixpe.link.autobaud import BAUDRATES, find_baudrate
from mixpe.link.etherbone import WINDOW, EtherboneLink
from mixpe.link.transport import SerialTransport, TcpTransport
from mixpe.link.uartbone import UartBoneLink
from mixpe.link.url import BAUDRATE, DeviceUrl, parse_url

TIMEOUT_S = 2.0


def open_link(url):
    """Open the link to a device.

    Parameters
    ----------
    url : str or DeviceUrl
        ``serial://``, ``serial+tcp://`` or ``etherbone://``; options ``timeout_s``, ``window`` (read requests in
        flight), ``baudrate`` (left out: found by asking at the usual rates).

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
    url = url if isinstance(url, DeviceUrl) else parse_url(url)
    limits = {"timeout_s": url.seconds("timeout_s", TIMEOUT_S), "window": url.integer("window", None)}
    if url.scheme == "etherbone":
        return EtherboneLink(url.host, url.port, url=url.text, timeout_s=limits["timeout_s"],
                             window=limits["window"] or WINDOW)
    if url.scheme == "serial+tcp":
        transport = TcpTransport(url.host, url.port, url=url.text)
    elif url.scheme == "serial":
        transport = SerialTransport(url.path, baudrate=url.integer("baudrate", BAUDRATE), url=url.text)
        if "baudrate" not in url.options:
            try:
                if find_baudrate(transport) is None:
                    transport.rates_tried = BAUDRATES
            except BaseException:
                transport.close()
                raise
    else:
        raise UrlError(f"{url.text}: {url.scheme} is no link; open it with mixpe.open")
    return UartBoneLink(transport, **limits)
