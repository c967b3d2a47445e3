# SPDX-License-Identifier: BSD-2-Clause
"""The cycle model of programs against the simulated SoC with its DRAM's timing."""

import numpy as np
import pytest

pytest.importorskip("litex", reason="the gateware extra is not installed")

from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.lm import LlamaModel
from mixpe.program.cycles import NOTHING, by_function, timeline
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.timing import RUN_CYCLES
from mixpe_gateware.contract.timing import memory_timing

MODEL = 0.03  # of a token's cycles, as docs/decoder.md promises
BOARDS = {  # as far as cycles go
    "SDR at 1:1":  ("sim?memory=sdr&decoder=1&port_bits=32&rows=32&scalers=2&k_max=2048&attention_lanes=2", None),
    "DDR3 at 1:2": ("sim?memory=ddr3half&decoder=1&k_max=4096&buffer_beats=512&scalers=2&attention_lanes=8", 8.0),
}


@pytest.fixture(scope="module")
def device():
    with open_device("sim?decoder=1") as opened:
        yield opened


def check(device, path, activations, positions, group_size, peak=None):
    """A token at each position takes what the model says; `peak`: bytes a cycle of slow pins."""
    with LlamaModel.from_pretrained(path, device, group_size=group_size, activations=activations,
                                    decoder="device") as model, model.session() as session:
        program = session.program
        driver_of(device).write_memory(session._region.state_addr, np.zeros(program.session.size, np.uint8))
        for position in positions:
            session.tokens = [0]*position  # what the cache holds does not matter: zeros
            before = device.counters()
            session.go_on(65, 1)
            after  = device.counters()
            spent  = {name: after[name] - before[name] for name in after}
            found  = timeline(program, device.config, memory_timing(device.config, peak), position)
            cycles = found.cycles + RUN_CYCLES
            assert abs(cycles/spent["cycles"] - 1) <= MODEL, (position, cycles, spent)
            assert found.array == spent["busy"], "the array's work is counted exactly"
            assert found.busy(Opcode.VECTOR) == pytest.approx(spent["busy_vector"], rel=0.15)
            shares = by_function(program, found)
            assert sum(shares.values()) == pytest.approx(found.cycles) and shares[NOTHING] < 0.02*found.cycles


@pytest.mark.parametrize("activations", ["a16", "a8g"])
def test_the_packaged_model(activations, device):
    check(device, None, activations, (0, 60, 250), 128)


@pytest.mark.parametrize("activations", ["a16", "a8g"])
def test_another_small_model(activations, folder, device):
    """Norms of q and k, heads of 64 elements, an embedding of its own, short groups."""
    check(device, folder("qwen3"), activations, (0, 30, 70), 32)


@pytest.mark.slow
@pytest.mark.parametrize("memory", BOARDS)
def test_memories_of_boards(memory):
    url, peak = BOARDS[memory]
    with open_device(url) as device:
        check(device, None, "a16", (0, 250), 128, peak)
