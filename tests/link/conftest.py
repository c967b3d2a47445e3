# SPDX-License-Identifier: BSD-2-Clause
"""Far ends of both links, in Python: UARTBone behind a TCP port, Etherbone behind a UDP port, over the same device."""

import random
import shutil
import socket
import struct
import threading
from contextlib import contextmanager

import pytest

import mixpe
from mixpe.link.byteend import FrameEnd
from mixpe.link.farend import FarEnd
from mixpe.reference.device import ReferenceLink
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.registers import CSR_BANK, CSR_BASES, CSR_PAGE_BYTES, OFFSETS
from mixpe_sim.faults.reference import ReferencePort

SMALL     = Config(rows=2, port_bits=32, k_max=512, buffer_beats=64, queue_depth=4, scalers=1)
MEM_BYTES = 1 << 20
BRIDGE    = "127.0.0.2"  # LiteEth answers to its own port number, so bridge and host need different addresses
NOWHERE   = 0xFFFF_0000  # reads as all ones
BANK      = CSR_BASES[0] + CSR_BANK*CSR_PAGE_BYTES


@contextmanager
def reference_ports(config, mem_bytes):
    """Gives what makes the reference device behind a TCP port and a bridge of some kind."""
    made = []

    def make(bridge):
        made.append(ReferencePort(config, mem_bytes, bridge))
        made[-1].url = f"serial+tcp://127.0.0.1:{made[-1].port}?timeout_s=2"
        return made[-1]

    yield make
    for each in made:
        each.close()
        assert each.failure is None


class FakeDevice:
    """Serves one client. `drop_bytes` of the next answers are swallowed; after `cut_after` of one it closes.

    `late` : so many answers are held back, and then come in front of the next one.
    """

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.words = {}
        self.frames = []
        self.drop_bytes = 0
        self.late = 0
        self.cut_after = None
        self.muted = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"serial+tcp://127.0.0.1:{self.port}"

    def read(self, address):
        """The word at a word address."""
        return self.words.get(address, 0)

    def write(self, address, value):
        self.words[address] = value

    def _serve(self):
        try:
            client, _ = self.listener.accept()
        except OSError:
            return
        held = b""
        with client, client.makefile("rb") as stream:
            while True:
                head = stream.read(6)
                if len(head) < 6:
                    return
                command, length, address = struct.unpack(">BBI", head)
                if command not in (1, 2, 3, 4):
                    continue  # as bridges do: whoever asks for frames is not answered
                self.frames.append((command, length, address))
                step = 1 if command in (1, 2) else 0
                if command in (1, 3):
                    values = struct.unpack(f">{length}I", stream.read(4*length))
                    for index, value in enumerate(values):
                        self.write(address + step*index, value)
                    continue
                answer = struct.pack(f">{length}I", *(self.read(address + step*index) for index in range(length)))
                if self.muted:
                    continue
                if self.late:
                    self.late -= 1
                    held += answer
                    continue
                answer, held = held + answer, b""
                dropped = min(self.drop_bytes, len(answer))
                self.drop_bytes -= dropped
                if self.cut_after is not None:
                    client.sendall(answer[:self.cut_after])
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answer[dropped:])

    def close(self):
        self.listener.close()


class UartBridge(FakeDevice):
    """UARTBone in front of the reference device. `csr_base`: its CSRs are there, and nowhere else."""

    def __init__(self, csr_base=CSR_BASES[0]):
        self.device = ReferenceLink(SMALL, mem_bytes=MEM_BYTES)
        self.csr_base = csr_base
        super().__init__()

    def place(self, address):
        """Bus address for the device, by a word address on ours."""
        page = 4*address & ~0xFFFF
        if page == self.csr_base:
            return 4*address - self.csr_base + CSR_BASES[0]
        return NOWHERE if page in CSR_BASES else 4*address

    def read(self, address):
        return int(self.device.read_words(self.place(address), 1)[0])

    def write(self, address, value):
        self.device.write_words(self.place(address), [value])


class Faults:
    """Packets that get lost, come twice, or come after the next: probabilities, for each direction."""

    def __init__(self, seed=0, *, loss=0.0, double=0.0, swap=0.0):
        self.rng = random.Random(seed)
        self.loss, self.double, self.swap = loss, double, swap
        self.held = {}

    def apply(self, direction, packet):
        """What arrives instead of a packet."""
        out = [] if self.rng.random() < self.loss else [packet]
        if self.rng.random() < self.double:
            out = out*2
        if out and direction not in self.held and self.rng.random() < self.swap:
            self.held[direction] = out.pop(0)
        elif out and direction in self.held:
            out.append(self.held.pop(direction))
        return out


class EtherboneBridge:
    """LiteEth's bridge with its gate, in front of the reference device, behind a network with faults.

    Attributes
    ----------
    writes : list of (addr, words)
        What was carried out.
    posts : int
        Jobs among them.
    """

    def __init__(self, seed=0, **faults):
        self.device = ReferenceLink(SMALL, mem_bytes=MEM_BYTES)
        self.faults = Faults(seed, **faults)
        self.muted = False
        self.posts = 0
        self.writes = []
        self.far = FarEnd(self)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((BRIDGE, 0))
        self.port = self.socket.getsockname()[1]
        self.url  = f"etherbone://{BRIDGE}:{self.port}"
        self.failure = None
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                packet, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            try:
                for each in self.faults.apply("in", packet):
                    answer = self.act(each)
                    for one in self.faults.apply("out", answer) if answer and not self.muted else []:
                        self.socket.sendto(one, (peer[0], self.port))
            except OSError:  # closed meanwhile
                return
            except Exception as error:  # shown by the fixture
                self.failure = error
                return

    def act(self, packet):
        assert packet[:2] == b"\x4e\x6f" and packet[2] & 0xFE == 0x10 and packet[3] == 0x44
        assert packet[2] & 1 or packet[9] == 0xF
        return self.far.act(packet)

    def read_words(self, addr, n):
        return self.device.read_words(addr, n)

    def write_words(self, addr, words):
        self.writes.append((addr, words.tolist()))
        self.posts += addr <= BANK + OFFSETS["job_tag"] < addr + 4*len(words)
        self.device.write_words(addr, words)

    def close(self):
        self.socket.close()
        assert self.failure is None


class FramedBridge:
    """A bridge that takes frames, in front of the reference device. `muted`: it answers nothing."""

    def __init__(self):
        self.muted   = False
        self.service = ReferencePort(SMALL, MEM_BYTES, self.made)
        self.device  = self.service.device
        self.url     = f"serial+tcp://127.0.0.1:{self.service.port}"

    def made(self, device):
        end  = FrameEnd(device)
        take = end.take

        def muting(data):
            answer = take(data)
            return b"" if self.muted else answer

        end.take = muting
        return end

    def close(self):
        self.service.close()
        assert self.service.failure is None


@pytest.fixture
def device():
    fake = FakeDevice()
    yield fake
    fake.close()


@pytest.fixture
def bridge():
    """Makes Etherbone bridges: the arguments are a seed and the network's faults."""
    made = []

    def make(*args, **options):
        made.append(EtherboneBridge(*args, **options))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def uartbone_far():
    made = UartBridge()
    yield made
    made.close()


@pytest.fixture
def uartbone_at():
    """Makes UARTBones whose CSRs are at a base."""
    made = []

    def make(csr_base):
        made.append(UartBridge(csr_base))
        return made[-1]
    yield make
    for each in made:
        each.close()


@pytest.fixture
def etherbone_far():
    made = EtherboneBridge()
    yield made
    made.close()


@pytest.fixture
def frames_far():
    made = FramedBridge()
    yield made
    made.close()


@pytest.fixture(params=["uartbone", "frames", "etherbone"])
def far(request):
    """The reference device behind each of the links: `url`, `device`, `muted`."""
    return request.getfixturevalue(f"{request.param}_far")


@pytest.fixture(scope="session")
def etherbone_options():
    """Of a small SoC behind LiteEth."""
    return {"link": "etherbone", "memory": "sdr32", "rows": 2, "k_max": 512, "buffer_beats": 64, "queue_depth": 4,
        "scalers": 1, "opt_level": "O1"}


@pytest.fixture(scope="session")
def etherbone_process(etherbone_options):
    """It runs."""
    pytest.importorskip("litex", reason="the simulated SoC needs mixpe[gateware]")
    if not shutil.which("verilator"):
        pytest.skip("the simulated SoC needs verilator")
    from mixpe_sim import open_sim
    with open_sim(**etherbone_options) as process:
        yield process


@pytest.fixture(scope="session")
def etherbone_sim(etherbone_process):
    """It is open."""
    with mixpe.open(f"{etherbone_process.url}?timeout_s=20", rate_hz=20_000) as device:
        yield device


@pytest.fixture
def make_faults():
    """Makes a network's faults: seed and probabilities."""
    return Faults


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
