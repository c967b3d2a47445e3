# SPDX-License-Identifier: BSD-2-Clause
"""From a URL to an open device.

    reference                         numpy, no hardware
    sim                               the SoC in Verilator, started and stopped by us
    sim?link=etherbone                the same behind LiteEth and its Etherbone bridge
    serial+tcp://host:port            a UARTBone behind a TCP port, such as `mixpe sim` prints
    serial:///dev/ttyUSB0?baudrate=…  a board
    etherbone://host                  a board with Ethernet
    …?csr_base=0x40000000             a SoC whose CSRs begin at no usual address
"""

from functools import partial
from typing import Any

from mixpe.devices.device import Device
from mixpe.devices.driver import VERIFY, driver_of
from mixpe.devices.finding import is_mixpe
from mixpe.errors import LinkTimeout, NotMixpeError, ToolError, UrlError
from mixpe.link import open_link, parse_url
from mixpe.link.etherbone import EtherboneLink
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.config import PARAMETERS, Config

SIM_TIMEOUT_S = 20.0   # of one transfer: other programs may have the processor
SIM_RATE_HZ   = 20_000  # cycles a second that the slowest simulation worth waiting for makes


def _integer(text):
    return int(text, 0)


def _boolean(text):
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def _verify(text):
    return {name: name for name in VERIFY}[text]


DRIVER_OPTIONS = {"verify": _verify, "floor_s": float, "ready_s": float, "rate_hz": float, "csr_base": _integer,
    "check_s": float, "twice": _boolean}
CONFIG_OPTIONS = {each.name: _boolean if each.is_flag else str if each.is_name else _integer for each in PARAMETERS}
REFERENCE_OPTIONS = {"mem_bytes": _integer, "clock_hz": _integer}
SIM_OPTIONS = {
    "memory": str, "link": str, "framed": _boolean, "probe": _boolean, "refresh": _boolean, "cpu_type": str,
    "sdram_verbosity": _integer,
    "opt_level": str, "threads": _integer, "jobs": _integer, "trace": _boolean, "trace_fst": _boolean,
    "trace_start": _integer, "trace_end": _integer, "coverage": _boolean, "run_folder": str, "port": _integer,
    "idle": _boolean}


def _typed(url, options, known):
    """Give a URL's options the types of `known`; names that are not in it stay as they are."""
    typed = {}
    for name, text in options.items():
        try:
            typed[name] = known[name](text) if isinstance(text, str) and name in known else text
        except (ValueError, KeyError):
            raise UrlError(f"{url.text}: {name}={text!r} is no valid value") from None
    return typed


def _take(options, names):
    return {name: options.pop(name) for name in list(options) if name in names}


def _unknown(url, options, known):
    if options:
        names = ", ".join(sorted(known))
        raise UrlError(f"{url.text}: unknown option {next(iter(options))!r}; {url.scheme} takes: {names}")


def _open_reference(url, given):
    known   = {**CONFIG_OPTIONS, **REFERENCE_OPTIONS, **DRIVER_OPTIONS}
    options = _typed(url, {**url.options, **given}, known)
    driver  = {"verify": "weights", **_take(options, DRIVER_OPTIONS)}
    chosen  = _take(options, CONFIG_OPTIONS)
    # It takes checkpoints with their own numbers, unless it is to be like a device that does not.
    config  = Config(**{"minima": chosen.get("fused", True), **chosen})
    memory  = _take(options, REFERENCE_OPTIONS)
    _unknown(url, options, known)
    return _device(ReferenceLink(config, **memory), url.text, driver)


def _open_sim(url, given):
    known   = {**CONFIG_OPTIONS, **SIM_OPTIONS, **DRIVER_OPTIONS}
    options = _typed(url, {**url.options, **given}, known)
    verify  = "all" if options.get("link") == "etherbone" else "weights"  # its packets may get lost
    driver  = {"verify": verify, "rate_hz": SIM_RATE_HZ, **_take(options, DRIVER_OPTIONS)}
    sim     = _take(options, {**CONFIG_OPTIONS, **SIM_OPTIONS})
    _unknown(url, options, known)
    try:
        from mixpe_sim import open_sim
        process = open_sim(**sim)
    except ModuleNotFoundError as error:
        raise ToolError(f"sim needs the package {error.name}; get it with: pip install 'mixpe[gateware]'") from error
    try:
        device = _device(open_link(f"{process.url}?timeout_s={SIM_TIMEOUT_S:g}"), url.text, driver)
    except BaseException:
        process.close()
        raise
    driver_of(device).on_close(process.close)
    return device


def _open_link(url, given):
    options = _typed(url, {**_take(dict(url.options), ("csr_base", "check_s", "twice")), **given}, DRIVER_OPTIONS)
    driver  = _take(options, DRIVER_OPTIONS)
    _unknown(url, options, DRIVER_OPTIONS)
    if url.scheme == "serial+tcp":
        driver.setdefault("rate_hz", SIM_RATE_HZ)  # a simulation may be behind it
    is_device = partial(is_mixpe, csr_base=driver.get("csr_base"))
    return _device(open_link(url, is_device=is_device), url.text, driver)


def _nobody(link, text, error):
    """What to say when nothing answers on a link."""
    if isinstance(link, EtherboneLink):
        protocol, hint = "Etherbone", ("is the bitstream loaded, built with --link etherbone and this --ip, and the "
            "cable in? try `ping`")
    else:
        protocol, hint = "UARTBone", "is the bitstream loaded (`mixpe flash`), and is it this port and baud rate?"
        tried = link.transport.rates_tried
        if tried:
            hint = (f"all the usual rates were tried, {tried[0]} … {tried[-1]} baud: is the bitstream loaded "
                    "(`mixpe flash`), and is it this port?")
    return NotMixpeError(f"nothing that speaks {protocol} answers at {text}; {hint} ({error})")


def _device(link, text, driver):
    try:
        return Device(link, text, **driver)
    except LinkTimeout as error:
        link.close()
        raise _nobody(link, text, error) from error
    except BaseException:
        link.close()
        raise


OPENERS = {"reference": _open_reference, "sim": _open_sim, "serial": _open_link, "serial+tcp": _open_link,
    "etherbone": _open_link}


def open_device(url: str, **options: Any) -> Device:
    """Open a device.

    Parameters
    ----------
    url : str
        ``reference``, ``sim``, ``serial+tcp://host:port``, ``serial:///dev/…`` or ``etherbone://host``, with
        options after ``?``.
    **options
        The options of ``reference`` and ``sim`` again, which win over those of the URL, and for every device those of
        `Device`: ``verify``, ``floor_s``, ``ready_s``, ``rate_hz``, ``csr_base``, ``check_s``,
        ``twice``.

    Returns
    -------
    Device
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    UrlError
        A URL or option that means nothing.
    ConfigError
        Options that no device can have.
    LinkError
        Nobody there: no such port, connection refused.
    NotMixpeError, ContractError
        Somebody else there.
    ToolError
        ``sim`` without the packages and programs that it needs.
    """
    parsed = parse_url(url)
    if parsed.scheme not in OPENERS:
        raise UrlError(f"{url}: this version of mixpe cannot open {parsed.scheme}")
    return OPENERS[parsed.scheme](parsed, options)
