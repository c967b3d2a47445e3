# SPDX-License-Identifier: BSD-2-Clause
"""No byte is lost between host and simulated memory, and LiteX's own client sees the same values."""

import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from litex.tools.litex_client import RemoteClient

from mixpe.link.uartbone import read_requests

MEM_BASE = 0x4000_0000
SDR_BYTES = 32 << 20
SCRATCH = 0xf0000004
SEED = 4711


def test_a_megabyte_goes_there_and_back(link):
    data = np.random.default_rng(SEED).integers(0, 256, (1 << 20) + 12, dtype=np.uint8)
    link.write_bytes(MEM_BASE, data)
    np.testing.assert_array_equal(link.read_bytes(MEM_BASE, data.size), data)


def test_random_bursts_reach_the_whole_memory(link):
    rng = np.random.default_rng(SEED)
    starts = [0, SDR_BYTES - 4096, *(int(start)*4 for start in rng.integers(0, (SDR_BYTES - 4096)//4, 40))]
    known = {}
    for start in starts:
        data = rng.integers(0, 256, 4*int(rng.integers(1, 1000)), dtype=np.uint8)
        link.write_bytes(MEM_BASE + start, data)
        for i, value in enumerate(data.tolist()):
            known[start + i] = value
    for start in starts:
        got = link.read_bytes(MEM_BASE + start, 64)
        want = [known[start + i] if start + i in known else None for i in range(64)]
        assert all(w is None or w == g for w, g in zip(want, got.tolist(), strict=True)), f"at {start}, seed {SEED}"


def test_address_lines_are_all_there(link):
    addresses = [0, *(4 << bit for bit in range(23))]
    for address in addresses:
        link.write_word(MEM_BASE + address, address ^ 0x5a5a5a5a)
    for address in addresses:
        assert link.read_word(MEM_BASE + address) == address ^ 0x5a5a5a5a


def test_no_byte_is_lost_with_a_slow_reader(sdr):
    """Requests for more than all buffers hold are queued at once and the answers are taken in small sips."""
    rng = random.Random(SEED)
    n = 150_000  # words: 0.6 MB
    with socket.create_connection(("127.0.0.1", sdr.port), timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        requests = read_requests(MEM_BASE, n).tobytes()
        writer = threading.Thread(target=client.sendall, args=(requests,))
        writer.start()
        got = 0
        digest = np.zeros(4*n, np.uint8)
        while got < 4*n:
            if rng.random() < 0.02:
                time.sleep(0.005)
            part = client.recv(rng.choice([1, 7, 1000, 20_000]))
            assert part, f"closed after {got} of {4*n} bytes, seed {SEED}"
            digest[got:got + len(part)] = np.frombuffer(part, np.uint8)
            got += len(part)
        writer.join()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)  # and none too many
    from mixpe.link import open_link
    with open_link(sdr.url) as link:
        again = link.read_words(MEM_BASE, n)
    np.testing.assert_array_equal(digest.view(">u4"), again)


def test_litex_remote_client_sees_the_same(sdr):
    from mixpe.link import open_link
    with open_link(sdr.url) as link:
        link.write_words(MEM_BASE + 0x100, [1, 2, 0xdeadbeef])
        link.write_word(SCRATCH, 0x600df00d)
    server = shutil.which("litex_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [server, "--uart", f"--uart-port=socket://127.0.0.1:{sdr.port}", "--bind-ip=127.0.0.1", f"--bind-port={port}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = RemoteClient(host="127.0.0.1", port=port, csr_csv=str(sdr.build.folder / "csr.csv"))
        end = time.monotonic() + 30
        while True:
            try:
                client.open()
                break
            except OSError:
                assert time.monotonic() < end, "litex_server did not start"
                time.sleep(0.2)
        assert client.regs.ctrl_scratch.read() == 0x600df00d
        assert client.read(MEM_BASE + 0x100, 3) == [1, 2, 0xdeadbeef]
        client.write(MEM_BASE + 0x200, list(range(20)))
        client.regs.ctrl_scratch.write(0x12345678)
        assert client.regs.ctrl_scratch.read() == 0x12345678
        client.close()
    finally:
        process.terminate()
        process.wait(10)
    with open_link(f"{sdr.url}?timeout_s=20") as link:
        assert link.read_words(MEM_BASE + 0x200, 20).tolist() == list(range(20))
