# SPDX-License-Identifier: BSD-2-Clause
"""From a URL to an open device.

    reference                         numpy, no hardware
    sim                               the SoC in Verilator, started and stopped by us
    serial+tcp://host:port            a UARTBone behind a TCP port, such as `mixpe sim` prints
    serial:///dev/ttyUSB0?baudrate=…  a board

Options come after ``?`` or as keyword arguments, which win.
"""

from urllib.parse import parse_qsl, urlsplit

from mixpe.devices.driver import VERIFY, Device
from mixpe.devices.reference import ReferenceLink
from mixpe.gateware.spec.config import Config
from mixpe.gateware.spec.errors import LinkTimeout, NotMixpeError, ToolError, UrlError

SCHEMES = "reference, sim, serial+tcp://host:port, serial:///dev/ttyUSB0?baudrate=115200"

SIM_RATE_HZ   = 50_000  # cycles a second that the slowest simulation worth waiting for makes
BAUDRATE      = 115200
TIMEOUT_S     = 5.0     # of one transfer on a link


def _boolean(text):
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def _one_of(*names):
    return lambda text: {name: name for name in names}[text]


DRIVER_OPTIONS = {"verify": _one_of(*VERIFY), "floor_s": float, "ready_s": float, "rate_hz": float,
    "csr_base": lambda text: int(text, 0)}
CONFIG_OPTIONS = {"rows": int, "port_bits": int, "k_max": int, "buffer_beats": int, "queue_depth": int,
    "fused": _boolean, "scalers": int, "read_ports": int, "pe": str}
REFERENCE_OPTIONS = {**CONFIG_OPTIONS, "mem_bytes": lambda text: int(text, 0), "clock_hz": int}
SERIAL_OPTIONS    = {"baudrate": int, "timeout_s": float}
TCP_OPTIONS       = {"timeout_s": float}


def parse_options(url, query, given, known):
    """Options of a URL and of the call as one dict with typed values.

    Raises
    ------
    UrlError
        Unknown or repeated options, and values that do not parse.
    """
    options = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known or name in options:
            problem = "is given twice" if name in options else f"is unknown; there are {', '.join(sorted(known))}"
            raise UrlError(f"option {name!r} of {url} {problem}")
        try:
            options[name] = known[name](text)
        except (ValueError, KeyError):
            raise UrlError(f"option {name}={text!r} of {url} is no valid value") from None
    for name, value in given.items():
        if name not in known:
            raise UrlError(f"option {name!r} of {url} is unknown; there are {', '.join(sorted(known))}")
        if value is not None:
            options[name] = value
    return options


def _take(options, names):
    return {name: options.pop(name) for name in list(options) if name in names}


def _open_reference(url, parts, given):
    options = parse_options(url, parts.query, given, {**REFERENCE_OPTIONS, **DRIVER_OPTIONS})
    driver  = {"verify": "weights", **_take(options, DRIVER_OPTIONS)}
    config  = Config(**_take(options, CONFIG_OPTIONS))
    return Device(ReferenceLink(config, **options), url, **driver)


OPENERS = {"reference": _open_reference}


def open_device(url, **options):
    """Open a device.

    Parameters
    ----------
    url : str
        ``reference``, ``sim``, ``serial+tcp://host:port`` or ``serial:///dev/…``, with options after ``?``.
    **options
        The same options; they win over those of the URL.

    Returns
    -------
    Device
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    UrlError
        A URL or option that means nothing.
    LinkError
        Nobody there: no such port, connection refused.
    NotMixpeError, ContractError
        Somebody else there.
    ToolError
        ``sim`` without the packages and programs that it needs.
    """
    if not isinstance(url, str):
        raise UrlError(f"a device URL is a str, such as {SCHEMES}; not {url!r}")
    parts  = urlsplit(url)
    scheme = parts.scheme or parts.path
    if scheme not in OPENERS:
        raise UrlError(f"unknown device URL {url!r}; there are {SCHEMES}")
    return OPENERS[scheme](url, parts, options)
