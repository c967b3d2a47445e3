# SPDX-License-Identifier: BSD-2-Clause
"""Programs of small models on the gateware: every byte of the memory is the reference device's."""

import numpy as np
import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.errors import JobError
from mixpe.lm import LlamaModel
from mixpe.lm.together import go_on_together
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.run import RUN_RECORD, RUN_TOKENS
from mixpe_gateware.contract.program.words import sealed
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
        self.records = self.seed = self.batches = 0
        self.stall   = 0.0
        self.cycles  = []  # of each run
        self.codes   = []
        self.unlike  = []  # (address, size) of what a run that fails may leave behind
        self._run, driver_of(self.device).run_program = driver_of(self.device).run_program, self.run

    def run(self, run, left):
        memory, harness = driver_of(self.device).link.memory, self.harness
        harness.memory[:] = memory
        end = self._run(run, left)
        self.seed    += 1
        self.batches += run.batch
        harness.setup(seed=self.seed, stall=self.stall, latency_cycles=2 + 7*self.seed % 30)
        before = harness.events()["records"]
        harness.post(run)
        (_, code, cycles), = harness.run(1, limit_cycles=LIMIT)
        self.cycles.append(cycles)
        self.codes.append(code)
        assert code == end.code
        assert harness.registers() == {RUN_TOKENS: end.passes, RUN_RECORD: end.record}
        wrong = harness.memory != memory
        for address, size in self.unlike if code else ():
            wrong[address:address + size] = False
        wrong = np.flatnonzero(wrong)
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


def speak_together(twin, path, activations, count):
    """Sessions of different lengths, in runs of several passes, with and without a list."""
    with LlamaModel.from_pretrained(path, twin.device, group_size=32, activations=activations,
                                    decoder="device") as model:
        prompts  = [[3, 1, 4, 1, 5], [9], [2, 6, 5], [3, 5]][:count]
        sessions = [model.session() for _ in prompts]
        first    = [session.read(prompt) for session, prompt in zip(sessions, prompts, strict=True)]
        found    = go_on_together(sessions, first, 2)
        rest     = go_on_together(sessions, [each.tokens[-1] for each in found], listed=True)
        assert not any(each.error for each in (*found, *rest)) and twin.batches == 2
        assert found[0].tokens + rest[0].tokens == list(model.generate_tokens(prompts[0], 4))[1:]


@pytest.mark.parametrize("stall", [0.0, 0.4])
@pytest.mark.parametrize("name, activations, count", [("smollm2", "a16", 2), ("qwen3", "a8g", 2), ("mistral", "a8g", 3),
    ("biases", "a16", 2)])
def test_sessions_together(name, activations, count, stall, folder, twin):
    found = twin(128)
    found.stall = stall
    speak_together(found, folder(name), activations, count)


def test_a_row_writes_to_its_session_alone(folder, twin):
    """Whose memory the program takes to be less than it is: what lies behind stays."""
    found = twin(128)
    with LlamaModel.from_pretrained(folder("smollm2"), found.device, group_size=32, decoder="device") as model, \
            model.session() as one, model.session() as other:
        tokens = [one.read([3, 1, 4]), other.read([5])]
        first  = [each.tokens[-1] for each in go_on_together([one, other], tokens)]
        batch  = one.device_program.batches._of(2)
        small  = one.program.session["values.1"].offset
        words  = batch.records.words.tolist()
        words[0][14] = small
        driver_of(found.device).write_memory(batch.records.region.addr,
            np.array(sealed(words, batch.records.identity), "<u4"))
        found.unlike = [(each.region.state_addr, small) for each in (one, other)]
        found.unlike.append((batch.work.addr, batch.program.session.size))
        with pytest.raises(JobError) as error:
            go_on_together([one, other], first)
        assert error.value.code == found.codes[-1] == JobCode.MEMORY
        assert [one.go_on(first[0], 1), other.go_on(first[1], 1)] == [list(model.generate_tokens(prompt, 3))[2:]
            for prompt in ([3, 1, 4], [5])]


@pytest.mark.parametrize("memory_bits", [pytest.param(16, marks=pytest.mark.slow), 32,
    pytest.param(64, marks=pytest.mark.slow)])
def test_sessions_together_by_widths_of_the_memory(memory_bits, folder, twin):
    found = twin(memory_bits)
    found.stall = 0.2
    speak_together(found, folder("smollm2"), "a16", 2)


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
            region = session._region
            state = driver_of(device).read_memory(region.state_addr, region.program.program.session.size)
            made.append((first, rest, state.tobytes()))
            counters, records = device.counters(), session._region.program.program.records
    assert made[0] == made[1]
    assert counters["jobs"] == 3 and counters["errors"] == 0  # a token of the prompt alone, its pairs, the rest
    assert 6*(records - 1) < counters["records"] < 14*records
    assert 0 < counters["busy_attention"] < counters["busy_vector"] < counters["cycles"]
    assert 0 < counters["wait_record"] < counters["cycles"]//20, "records are ready before they are needed"


def test_sessions_together_on_the_simulated_soc(folder):
    """Over its link, with LiteDRAM's timing: the reference device's tokens and caches, in fewer cycles than alone."""
    path, made = folder("smollm2"), []
    for url in ("reference", "sim"):
        memory = {"port_bits": 128, "memory_bits": 128} if url == "reference" else {}
        with open_device(url, **SMALL, **memory) as device, LlamaModel.from_pretrained(path, device, group_size=32,
                decoder="device") as model, model.session() as first, model.session() as second:
            tokens, sessions = [first.read([3, 1, 4, 1]), second.read([5])], (first, second)
            device.reset_counters()
            found  = [each.tokens for each in go_on_together(sessions, tokens, 3)]
            size   = first.program.session.size
            states = [driver_of(device).read_memory(session.region.state_addr, size).tobytes() for session in sessions]
            together = device.counters()["cycles"]
            made.append((found, states))
            for session, token, each in zip(sessions, tokens, found, strict=True):
                session.length -= 3
                assert session.go_on(token, 3) == each
            alone = device.counters()["cycles"] - together
    assert made[0] == made[1]
    assert together < 0.9*alone, "weights are read once for both"
