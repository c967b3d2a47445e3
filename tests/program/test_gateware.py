# SPDX-License-Identifier: BSD-2-Clause
"""Programs of small models on the gateware: every byte of the memory is the reference device's."""

import numpy as np
import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.devices import open_device
from mixpe.lm import LlamaModel
from mixpe_gateware.contract.program.run import RUN_RECORD, RUN_TOKENS
from mixpe_sim.harness import Harness

MEM_BYTES = 1 << 20
SMALL     = {"decoder": True, "minima": True, "k_max": 512, "rows": 4, "scalers": 4, "context_max": 128,
    "buffer_beats": 256, "queue_depth": 4}
PORTS     = {16: 32, 32: 32, 64: 64, 128: 128}  # width of a beat, by that of the memory
LIMIT     = 1_000_000  # cycles of a run
CYCLES    = [48988, 19988, 42002, 48529]


class Twin:
    """A reference device whose runs are repeated by an accelerator in Verilator, from the same memory."""

    def __init__(self, memory_bits):
        self.device  = open_device("reference", mem_bytes=MEM_BYTES, **SMALL, memory_bits=memory_bits,
            port_bits=PORTS[memory_bits])
        self.harness = Harness(self.device.config, MEM_BYTES, chunk_beats=16)
        self.records = self.seed = 0
        self.stall   = 0.0
        self.cycles  = []  # of each run
        self._run, self.device.run_program = self.device.run_program, self.run

    def run(self, run):
        memory, harness = self.device.link.memory, self.harness
        harness.memory[:] = memory
        end = self._run(run)
        self.seed += 1
        harness.setup(seed=self.seed, stall=self.stall, latency_cycles=2 + 7*self.seed % 30)
        before = harness.events()["records"]
        harness.post(run)
        (_, code, cycles), = harness.run(1, limit_cycles=LIMIT)
        self.cycles.append(cycles)
        assert code == end.code
        assert harness.registers() == {RUN_TOKENS: end.passes, RUN_RECORD: end.record}
        wrong = np.flatnonzero(harness.memory != memory)
        assert not wrong.size, (f"{wrong.size} bytes differ, the first at {wrong[0]:#x}; "
                                f"the session is at {run.state_addr:#x}")
        self.records += harness.events()["records"] - before
        return end

    def close(self):
        self.device.close()
        self.harness.close()


@pytest.fixture
def twin():
    """Open one for a width of the memory."""
    opened = []

    def open_(memory_bits):
        opened.append(Twin(memory_bits))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


def speak(twin, path, activations):
    with LlamaModel.from_pretrained(path, twin.device, group_size=32, activations=activations,
                                    decoder="device") as model, model.session() as session:
        tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, 9).tolist()
        first  = session.read(tokens)
        assert len(session.go_on(first, 4)) == 4
        assert twin.records > 10*13


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("activations", ["a16", "a8g"])
@pytest.mark.parametrize("name", ["smollm2", "tinyllama", "qwen2.5", "qwen3", "mistral", "biases", "llama3"])
def test_models(name, activations, stall, folder, twin):
    found = twin(128)
    found.stall = stall
    speak(found, folder(name), activations)


def test_cycles_of_a_prompt_and_of_what_follows(folder, twin):
    """Without stalls always the same: two passes of two tokens, one token, two that follow, two with a list."""
    found = twin(128)
    with LlamaModel.from_pretrained(folder("smollm2"), found.device, group_size=32, decoder="device") as model, \
            model.session() as session:
        first = session.read([3, 1, 4, 1])
        session.read([5])
        session.go_on(first, 2)
        session.go_on(first, 2, listed=True)
    assert found.cycles == CYCLES


@pytest.mark.parametrize("memory_bits", [16, 32, 64])
def test_widths_of_the_memory(memory_bits, folder, twin):
    found = twin(memory_bits)
    found.stall = 0.2
    speak(found, folder("qwen2.5"), "a16")


def test_the_simulated_soc(folder):
    """Over its link, with LiteDRAM's timing: tokens, caches and all that is between them; and what is counted."""
    path, made = folder("smollm2"), []
    tokens = np.random.default_rng(1).integers(0, 99, 9).tolist()
    for url in ("reference", "sim"):
        memory = {"port_bits": 128, "memory_bits": 128} if url == "reference" else {}
        with open_device(url, **SMALL, **memory) as device, LlamaModel.from_pretrained(path, device, group_size=32,
                decoder="device") as model, model.session() as session:
            device.reset_counters()
            first = session.read(tokens)
            rest  = session.go_on(first, 5)
            state = device.read_memory(session._region.state_addr, session._region.program.program.session.size)
            made.append((first, rest, state.tobytes()))
            counters, records = device.counters(), session._region.program.program.records
    assert made[0] == made[1]
    assert counters["jobs"] == 3 and counters["errors"] == 0  # a token of the prompt alone, its pairs, the rest
    assert 6*(records - 1) < counters["records"] < 14*records
    assert 0 < counters["busy_attention"] < counters["busy_vector"] < counters["cycles"]
    assert 0 < counters["wait_record"] < counters["cycles"]//20, "records are ready before they are needed"
