# SPDX-License-Identifier: BSD-2-Clause
"""Sessions on a device whose memory changes or is lost: weights, programs, constants, keys and values."""

import os
import signal

import pytest

from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.errors import DamageError, DeviceError, LinkError
from mixpe.lm import LlamaModel
from mixpe.lm.together import go_on_together
from mixpe_gateware.contract.program.run import ROW_BYTES

CACHE = "a session's keys and values"
ROWS  = 2  # of a program for two sessions


def flip(device, offset):
    """What a bit of DRAM that flips is: written past the driver."""
    word = driver_of(device).read_memory(offset//4*4, 4)
    word[offset % 4] ^= 4
    driver_of(device).link.write_bytes(driver_of(device).mem_base + offset//4*4, word)


def places(model, session):
    """Where a bit may flip, by the name that is said of it."""
    program = model._decoder.program
    region  = session._region
    found   = {layer.name: layer.addrs[-1] + layer.weight_bytes//2
               for layer in (model.jobs[name].linear for name in ("layers.0.qkv", "layers.1.down", "lm_head"))}
    found |= {"the embedding": program._layers["embedding"].addrs[0] + 9, "the constants": program._constants.addr + 3}
    found |= {each.region.name: each.region.addr + 70 for each in program._records}
    layout = program.program.session
    return found | {CACHE: region.state_addr + layout["values.1"].offset + 5}


def test_every_part_is_named_and_mended(model, device, prompt, monkeypatch):
    """By the schedule before a run, on request, and by `recover`; the text then goes on as if nothing had been."""
    monkeypatch.setattr(driver_of(device).upkeep, "check_s", 0.0)
    made = list(model.generate_tokens(prompt, 4))
    with model.session() as session, model.session() as other:
        first = session.read(prompt)
        other.read(prompt[:3], more=True)
        assert device.check() > 0
        for name, at in places(model, session).items():
            for way in ("use", "check", "recover"):
                flip(device, at)
                before = session.read_again
                if way == "recover":
                    assert device.recover() == (() if name == CACHE else (name,))
                else:
                    with pytest.raises(DamageError) as caught:
                        session.go_on(first, 3) if way == "use" else device.check()
                    assert caught.value.names == (name,), (name, way)
                assert session.tokens == prompt
                assert session.go_on(first, 3) == made[1:], (name, way)
                assert session.read_again == before + len(prompt)
                session.length = len(prompt)
        again = other.read_again
        assert other.read(prompt[3:]) == first and other.read_again == again + 3


def test_a_text_goes_on_where_memory_was_lost(model, device, prompt):
    """As after a restart that only the link knows of; without one, nobody asked for looks at the cache."""
    made = list(model.generate_tokens(prompt, 8))
    with model.session() as session:
        first = session.read(prompt)
        begin = session.go_on(first, 3, listed=True)
        top   = session.top()
        driver_of(device).link.memory[:] = 0
        driver_of(device).link.breaks += 1
        device.check()
        found, logits = session.top()
        assert (found == top[0]).all() and (logits == top[1]).all() and session.length == len(prompt) + 3
        assert begin + session.go_on(begin[-1], 4) == made[1:]
        assert session.read_again == len(prompt) + 2
        assert session._region.parts() == [] and device.check() > 0


def test_a_session_that_cannot_be_read_again_says_so(model, device, prompt, monkeypatch):
    """It keeps its tokens, and goes on once it can."""
    made = list(model.generate_tokens(prompt, 4))
    with model.session() as session:
        first = session.read(prompt, listed=True)
        top   = session.top()[0]
        device.recover()

        def lost():
            raise DeviceError("nothing comes")

        monkeypatch.setattr(driver_of(device).queue, "collect", lost)
        for _ in range(2):
            with pytest.raises(DeviceError, match="nothing comes"):
                session.top()
            assert session.tokens == prompt and session.read_again == 0
        monkeypatch.undo()
        assert (session.top()[0] == top).all()
        monkeypatch.setattr(driver_of(device).queue, "collect", lost)
        for _ in range(2):
            with pytest.raises(DeviceError, match="nothing comes"):
                session.go_on(first, 3)
            assert session.tokens == prompt
        monkeypatch.undo()
        assert session.go_on(first, 3) == made[1:]


@pytest.fixture
def doubled(device, monkeypatch):
    """The device's driver, each run twice. `hit(n, offset)` flips a bit of memory behind the n-th run."""
    driver = driver_of(device)
    monkeypatch.setattr(driver, "copies", 2)
    run, driver.ran, driver.hits = driver._end_of, 0, {}

    def counted(each):
        end = run(each)
        if driver.ran in driver.hits:
            flip(device, driver.hits.pop(driver.ran))
        driver.ran += 1
        return end

    monkeypatch.setattr(driver, "_end_of", counted)
    driver.hit = lambda behind, offset: driver.hits.__setitem__(driver.ran + behind, offset)
    return driver


def test_each_run_is_twice(model, doubled, prompt):
    made = list(model.generate_tokens(prompt, 8))
    assert doubled.ran and doubled.ran % 2 == 0
    doubled.copies, before = 1, doubled.ran
    assert list(model.generate_tokens(prompt, 8)) == made and 2*(doubled.ran - before) == before


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("where", ["keys.0", "values.1", "tokens"])
def test_a_run_that_is_not_the_same_twice(model, doubled, prompt, copy, where):
    """A bit of what one of them left flips: an error, and the next call is right, as it is for other sessions."""
    made = list(model.generate_tokens(prompt, 5))
    with model.session() as session, model.session() as other:
        first, region = session.read(prompt), session._region
        assert other.read(prompt) == first
        row = model._decoder.program.program.session[where].offset if where != "tokens" else 0
        doubled.hit(copy, region.tokens_addr + 4 if where == "tokens" else region.state_addr + row + 3)
        with pytest.raises(DamageError, match="not the same twice") as caught:
            session.go_on(first, 4)
        assert caught.value.names == ("the program",) and not doubled.hits and session.tokens == prompt
        assert session.go_on(first, 4) == made[1:] == other.go_on(first, 4)


@pytest.mark.parametrize("copy", [0, 1])
def test_a_batch_that_is_not_the_same_twice(model, doubled, prompt, copy):
    made = list(model.generate_tokens(prompt, 5))
    with model.session() as session, model.session() as other:
        both = [session, other]
        first, _ = (each.read(prompt) for each in both)
        for addr in (lambda: other.region.state_addr + model._decoder.program.program.session["values.1"].offset,
                     lambda: model._decoder.program.batches._of(2).table.addr + ROWS*ROW_BYTES + 4):
            go_on_together(both, [first, first], 1)
            for each in both:
                each.length = len(prompt)
            doubled.hit(copy, addr())
            with pytest.raises(DamageError, match="not the same twice"):
                go_on_together(both, [first, first], 4)
            assert not doubled.hits and session.tokens == other.tokens == prompt
            assert [each.tokens for each in go_on_together(both, [first, first], 4)] == [made[1:]]*2
            for each in both:
                each.length = len(prompt)


# The SoC of test_gateware.py.
SMALL = {"decoder": True, "minima": True, "k_max": 512, "rows": 4, "scalers": 4, "context_max": 128,
    "buffer_beats": 256, "queue_depth": 4}


def test_the_simulated_soc(folder):
    """Program, constants and cache are named there too; killed and started again, it goes on with the text."""
    pytest.importorskip("litex", reason="the gateware extra is not installed")
    from mixpe_sim import open_sim
    with open_sim(**SMALL) as sim, open_device(f"{sim.url}?timeout_s=3", check_s=0.0) as device, \
            LlamaModel.from_pretrained(folder("smollm2"), device, group_size=32, decoder="device") as model:
        prompt = [5, 17, 40]
        made   = list(model.generate_tokens(prompt, 3))
        with model.session() as session:
            first = session.read(prompt)
            for name, at in places(model, session).items():
                flip(device, at)
                with pytest.raises(DamageError) as caught:
                    session.go_on(first, 2)
                assert caught.value.names == (name,)
                assert session.go_on(first, 2) == made[1:], name
                session.length = len(prompt)
            os.kill(sim.pid, signal.SIGKILL)
            sim.wait(10)
            with open_sim(**SMALL, port=sim.port):
                with pytest.raises(LinkError):
                    session.go_on(first, 2)
                assert session.go_on(first, 2) == made[1:]
