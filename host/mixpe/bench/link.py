# SPDX-License-Identifier: BSD-2-Clause
"""Benchmarks of the host's side: the link against LiteX's own client, packing and quantising against a copy."""

import socket
import statistics
import sys
import time

import numpy as np

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError
from mixpe.tools import start_tool, stop_tool
from mixpe_gateware.contract.layout import pack_stream

SERVER_START_S = 20.0
REMOTE_WORDS   = 255  # the most that its protocol takes


def link_rates(device, size=1 << 20, repeats=3):
    """Bytes a second and payload share of bulk transfers.

    Returns
    -------
    dict of float
        ``upload_bytes_per_s``, ``download_bytes_per_s``, ``upload_payload``: share of the bytes on the wire.
    """
    driver = driver_of(device)
    data = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    place = driver.memory.allocate(size)
    uploads, downloads, shares = [], [], []
    try:
        for _ in range(repeats):
            before = device.link_bytes()
            start = time.perf_counter()
            driver.write_memory(place, data)
            driver.bank.read("scratch")  # answered when the bytes before it are in memory
            uploads.append(size/(time.perf_counter() - start))
            shares.append(size/(device.link_bytes()["sent"] - before["sent"]))
            start = time.perf_counter()
            got = driver.read_memory(place, size)
            downloads.append(size/(time.perf_counter() - start))
            if (got != data).any():
                raise DeviceError("the bytes that came back are not those that were sent")
    finally:
        driver.memory.free(place)
    return {"upload_bytes_per_s": statistics.median(uploads), "download_bytes_per_s": statistics.median(downloads),
        "upload_payload": statistics.median(shares)}


def remote_client_rates(address, mem_base, words=REMOTE_WORDS, repeats=3):
    """Bytes a second of LiteX's `litex_server` and `RemoteClient` on the same simulated link.

    Parameters
    ----------
    address : str
        ``host:port`` of the simulated SoC, with no client connected.
    mem_base : int
        Bus address of the memory.

    Returns
    -------
    dict of float
    """
    from litex import RemoteClient

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "litex.tools.litex_server", "--uart", f"--uart-port=socket://{address}",
        "--uart-baudrate=1000000", "--bind-ip=127.0.0.1", f"--bind-port={port}"]
    server = start_tool(command, None)
    try:
        end = time.monotonic() + SERVER_START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end or server.poll() is not None:
                    raise DeviceError(f"litex_server did not start within {SERVER_START_S} s") from None
                time.sleep(0.1)
        client = RemoteClient(port=port, csr_csv=None)
        client.open()
        values = np.random.default_rng(0).integers(0, 1 << 32, words).tolist()
        uploads, downloads = [], []
        for _ in range(repeats):
            start = time.perf_counter()
            client.write(mem_base, values)
            if client.read(mem_base + 4*(words - 1)) != values[-1]:
                raise DeviceError("RemoteClient read another word than it wrote")
            uploads.append(4*words/(time.perf_counter() - start))
            start = time.perf_counter()
            got = client.read(mem_base, words)
            downloads.append(4*words/(time.perf_counter() - start))
            if got != values:
                raise DeviceError("RemoteClient read other words than it wrote")
        client.close()
    finally:
        stop_tool(server)
    return {"upload_bytes_per_s": statistics.median(uploads), "download_bytes_per_s": statistics.median(downloads)}


def host_times(config, n=2048, k=4096, repeats=5):
    """Times of packing and quantising, as multiples of copying the float32 matrix.

    Returns
    -------
    dict of float
        ``copy_s``, ``pack_over_copy``, ``quantize_over_copy``: medians, measured in turn.
    """
    w = np.random.default_rng(0).standard_normal((n, k), np.float32)
    matrix = mixpe.quantize(w)
    parts = matrix.stream_parts(slice(None), 0, matrix.k_padded)
    copies, packs, quantisations = [], [], []
    for _ in range(repeats):
        for times, work in ((copies, lambda: np.copy(w)), (packs, lambda: pack_stream(*parts, config)),
                (quantisations, lambda: mixpe.quantize(w))):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    copy = statistics.median(copies)
    return {"copy_s": copy, "pack_over_copy": statistics.median(packs)/copy,
        "quantize_over_copy": statistics.median(quantisations)/copy}
