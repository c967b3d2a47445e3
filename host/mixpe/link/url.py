# SPDX-License-Identifier: BSD-2-Clause
"""Device URLs."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from mixpe.errors import UrlError

SCHEMES = ("sim", "reference", "serial", "serial+tcp", "etherbone")
EXAMPLES = ("sim, sim?memory=sdr&rows=4, reference, serial:///dev/ttyUSB0?baudrate=3000000, "
            "serial+tcp://127.0.0.1:1234, etherbone://192.168.1.50")
LINK_OPTIONS = ("timeout_s", "window", "csr_base", "check_s", "twice")  # of every link; the last three are the driver's
BAUDRATE = 3_000_000
ETHERBONE_PORT = 1234


@dataclass(frozen=True)
class DeviceUrl:
    """A device URL in parts.

    Attributes
    ----------
    text : str
        As given.
    scheme : str
        One of `SCHEMES`.
    host : str
        Of ``serial+tcp`` and ``etherbone``.
    port : int
    path : str
        Of ``serial``: the device file, or COM3.
    options : dict of str to str
        What stands after the question mark.
    """

    text: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    options: dict = field(default_factory=dict)

    def integer(self, name, default, minimum=1):
        """Return an option as an int, or `default`."""
        value = self.options.get(name)
        if value is None:
            return default
        if not value.isdecimal() or int(value) < minimum:
            raise UrlError(f"{self.text}: {name} must be an integer of at least {minimum}, not {value!r}")
        return int(value)

    def seconds(self, name, default):
        """Return an option as a positive number of seconds, or `default`."""
        value = self.options.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e6:
            raise UrlError(f"{self.text}: {name} must be a positive number of seconds, not {value!r}")
        return number

    def allow(self, names):
        """Raise UrlError when there is an option that is not in `names`."""
        for name in self.options:
            if name not in names:
                known = ", ".join(names) if names else "none"
                raise UrlError(f"{self.text}: unknown option {name!r}; {self.scheme} takes: {known}")


def _address(text, parts, default_port):
    try:
        port = parts.port
    except ValueError as error:
        raise UrlError(f"{text}: the port must be 1 … 65535") from error
    port = default_port if port is None else port
    if not parts.hostname:
        raise UrlError(f"{text}: no host; write {parts.scheme}://host:port")
    if not port:
        raise UrlError(f"{text}: no port; write {parts.scheme}://host:port")
    return parts.hostname, port


def parse_url(text):
    """Take a device URL apart.

    Parameters
    ----------
    text : str
        For instance ``"sim"``, ``"sim?memory=sdr"``, ``"serial:///dev/ttyUSB0"``.

    Returns
    -------
    DeviceUrl

    Raises
    ------
    UrlError
        Not a string, an unknown scheme, a missing or wrong part. The message names it and shows what would do.
    """
    if not isinstance(text, str):
        raise UrlError(f"a device URL is a string such as {EXAMPLES}; not {text!r}")
    head, _, query = text.partition("?")
    scheme = head.partition(":")[0]
    if scheme not in SCHEMES:
        raise UrlError(f"unknown device URL {text!r}; write one of: {EXAMPLES}")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise UrlError(f"{text}: options are written name=value&name=value, not {query!r}") from error
    options = dict(pairs)
    if len(options) != len(pairs):
        raise UrlError(f"{text}: an option is given twice")
    if scheme in ("sim", "reference"):
        if head not in (scheme, f"{scheme}://", f"{scheme}:"):
            raise UrlError(f"{text}: {scheme} has no address; write {scheme} or {scheme}?name=value")
        return DeviceUrl(text, scheme, options=options)
    parts = urlsplit(head)
    if scheme == "serial":
        path = parts.netloc + parts.path
        if not path:
            raise UrlError(f"{text}: no serial port; write serial:///dev/ttyUSB0 or serial://COM3")
        url = DeviceUrl(text, scheme, path=path, options=options)
        url.allow(("baudrate", *LINK_OPTIONS))
        return url
    if parts.path not in ("", "/"):
        raise UrlError(f"{text}: {scheme} has no path, but {parts.path!r} is there")
    host, port = _address(text, parts, ETHERBONE_PORT if scheme == "etherbone" else None)
    url = DeviceUrl(text, scheme, host=host, port=port, options=options)
    url.allow(LINK_OPTIONS)
    return url
