# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that go on together are those that went on alone, to the bit; what ends one of them leaves the others."""

import numpy as np
import pytest

from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.errors import DeviceError, JobError, ModelError, RangeError
from mixpe.lm import LlamaModel
from mixpe.lm.together import go_on_together
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program import vector
from mixpe_gateware.contract.program.records import Function

PROMPTS = [[5, 9, 2, 77], [31], [40, 41, 42, 43, 44, 45, 46], [7, 7, 7], [50, 3]]


@pytest.fixture
def wide_device():
    """With rows for four sessions of A16, eight of A8."""
    with open_device("reference", decoder=True, minima=True, k_max=2048, rows=8, port_bits=64, context_max=256,
            mem_bytes=16 << 20) as found:
        yield found


@pytest.fixture
def model(folder, wide_device):
    with LlamaModel.from_pretrained(folder("smollm2"), wide_device, group_size=32, decoder="device") as found:
        yield found


def begun(model, prompts):
    """A session for each prompt, and its first token."""
    sessions = [model.session() for _ in prompts]
    return sessions, [session.read(prompt) for session, prompt in zip(sessions, prompts, strict=True)]


def cache_of(session):
    """All bytes of its cache up to its last position: list of arrays."""
    program, found = session.program, []
    for layer in range(program.architecture.num_hidden_layers):
        for place in program.session.cache(layer):
            each = session.region.read(place.name)[place.offset - program.session[place.name].offset:][:place.size]
            heads = program.architecture.num_key_value_heads
            found.append(each.reshape(heads, program.session.context, -1)[:, :session.length].copy())
    return found


def runs_of(model, monkeypatch):
    """Counts what is run: list of Run."""
    seen, run = [], driver_of(model.device).run_program
    monkeypatch.setattr(driver_of(model.device), "run_program", lambda each, left: seen.append(each) or run(each, left))
    return seen


@pytest.mark.parametrize("activations", ["a16", "a8g"])
@pytest.mark.parametrize("name", ["smollm2", "tinyllama", "qwen2.5", "qwen3", "mistral", "biases", "llama3"])
def test_tokens_and_caches_are_those_of_each_alone(name, activations, folder, wide_device, monkeypatch):
    with LlamaModel.from_pretrained(folder(name), wide_device, group_size=32, activations=activations,
                                    decoder="device") as model:
        alone, first    = begun(model, PROMPTS[:3])
        together, again = begun(model, PROMPTS[:3])
        assert first == again
        made  = [session.go_on(token, 5) for session, token in zip(alone, first, strict=True)]
        seen  = runs_of(model, monkeypatch)
        found = go_on_together(together, first, 5)
        assert [each.tokens for each in found] == made and not any(each.error for each in found)
        assert [run.batch for run in seen] == [True]
        for one, other in zip(alone, together, strict=True):
            assert one.tokens == other.tokens
            for mine, its in zip(cache_of(one), cache_of(other), strict=True):
                np.testing.assert_array_equal(mine, its)
        assert together[0].go_on(made[0][-1], 3) == alone[0].go_on(made[0][-1], 3)  # and each goes on alone


@pytest.mark.parametrize("count, batches", [(1, 0), (2, 1), (3, 1), (4, 1), (5, 1)])
def test_any_number_of_sessions(count, batches, model, monkeypatch):
    """Rows that are left over repeat one: it comes to no harm. The fifth is alone."""
    alone, first = begun(model, PROMPTS[:count])
    together, _  = begun(model, PROMPTS[:count])
    made = [session.go_on(token, 3) for session, token in zip(alone, first, strict=True)]
    seen = runs_of(model, monkeypatch)
    for step in range(3):
        tokens = first if step == 0 else [each[step - 1] for each in made]
        assert [each.tokens for each in go_on_together(together, tokens)] == [[each[step]] for each in made]
    assert len(seen) == 3*(batches + (count in (1, 5))) and sum(run.batch for run in seen) == 3*batches
    for one, other in zip(alone, together, strict=True):
        for mine, its in zip(cache_of(one), cache_of(other), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_lists_of_the_largest(model):
    alone, first = begun(model, PROMPTS[:3])
    together, _  = begun(model, PROMPTS[:3])
    for session, token in zip(alone, first, strict=True):
        session.go_on(token, 2, listed=True)
    go_on_together(together, first, 2, listed=True)
    for one, other in zip(alone, together, strict=True):
        for mine, its in zip(one.top(), other.top(), strict=True):
            np.testing.assert_array_equal(mine, its)
    go_on_together(together, first)
    with pytest.raises(ModelError, match="listed=True"):
        together[1].top()


def test_a_text_that_ends_ends_alone(model):
    """Its token ends the run, and the others go on."""
    alone, first = begun(model, PROMPTS[:3])
    free = [session.go_on(token, 12) for session, token in zip(alone, first, strict=True)]
    end  = free[1][4]
    model._decoder.free()
    model._ends = lambda: [end]
    model._put_decoder_on_device("a16", None, False)
    sessions, _ = begun(model, PROMPTS[:3])
    found = go_on_together(sessions, first, 12)
    for each, tokens, session, prompt, token in zip(found, free, sessions, PROMPTS, first, strict=False):
        stop = tokens.index(end) + 1 if end in tokens else 12
        assert each.tokens == tokens[:stop] and each.error is None
        assert session.tokens == [*prompt, token, *tokens[:stop - 1]]


def test_a_session_without_room_ends_alone(model):
    sessions, first = begun(model, [PROMPTS[0], [index % 90 for index in range(78)], PROMPTS[1]])
    before = list(sessions[1].tokens)
    made = [list(model.generate_tokens(prompt, 6))[1:] for prompt in (PROMPTS[0], PROMPTS[1])]
    found = go_on_together(sessions, first, 5)
    assert [found[0].tokens, found[2].tokens] == made and found[1].tokens == []
    assert isinstance(found[1].error, ModelError) and "83 tokens are more than the session's context of 80" in str(
        found[1].error)
    assert sessions[1].tokens == before
    found = go_on_together(sessions, [made[0][-1], first[1], made[1][-1]], 2)
    assert not any(each.error for each in found) and sessions[1].length == 80


def test_numbers_out_of_range_in_one_row(model, monkeypatch):
    """That session gets the code, the others their tokens; it goes on when it can."""
    sessions, first = begun(model, PROMPTS[:3])
    made = [list(model.generate_tokens(prompt, 7))[1:] for prompt in PROMPTS[:3]]
    select = vector._RESULTS[Function.SELECT]
    bad    = made[1][2]  # with this token in a row it fails: it is the fourth of the second session

    def fails(operands):
        choice = select(operands)
        if operands.state.choice == made[1][3] and fails.armed:
            operands.state.choice = None
            raise RangeError("too large")
        return choice

    fails.armed = not any(made[1][3] in tokens for tokens in (made[0], made[2], made[1][:3]))
    assert fails.armed
    monkeypatch.setitem(vector._RESULTS, Function.SELECT, fails)
    found = go_on_together(sessions, first, 6)
    assert [found[0].tokens, found[2].tokens] == [made[0], made[2]]
    assert found[0].error is None and found[2].error is None
    assert found[1].tokens == made[1][:3] and found[1].tokens[-1] == bad
    assert isinstance(found[1].error, JobError) and found[1].error.code == JobCode.RANGE
    assert sessions[1].tokens == [*PROMPTS[1], first[1], *made[1][:2]]
    monkeypatch.undo()
    assert go_on_together(sessions[1:2], [bad], 3)[0].tokens == made[1][3:]


def test_without_memory_for_it_they_take_turns(model, monkeypatch):
    sessions, first = begun(model, PROMPTS[:3])
    made = [list(model.generate_tokens(prompt, 5))[1:] for prompt in PROMPTS[:3]]
    memory = driver_of(model.device).memory
    taken  = memory.allocate(memory.largest_bytes)
    seen, free = runs_of(model, monkeypatch), memory.free_bytes
    assert [each.tokens for each in go_on_together(sessions, first, 4)] == made
    assert not any(run.batch for run in seen) and memory.free_bytes == free
    memory.free(taken)


def test_memory_comes_back(folder, wide_device):
    free = driver_of(wide_device).memory.free_bytes
    with LlamaModel.from_pretrained(folder("smollm2"), wide_device, group_size=32, decoder="device") as model:
        sessions, first = begun(model, PROMPTS[:3])
        go_on_together(sessions, first, 1)
        for session in sessions:
            session.close()
        with pytest.raises(DeviceError, match="closed"):
            go_on_together(sessions, first)
    assert driver_of(wide_device).memory.free_bytes == free


def test_a_damaged_batch_is_not_run_and_sent_again_after_trouble(model):
    sessions, first = begun(model, PROMPTS[:2])
    made = [list(model.generate_tokens(prompt, 5))[1:] for prompt in PROMPTS[:2]]
    found = go_on_together(sessions, first, 2)
    program = sessions[0].device_program
    program.driver.link.memory[program.batches._found[2].records.region.addr + 200] ^= 16
    before = [list(session.tokens) for session in sessions]
    with pytest.raises(JobError, match="2 sessions after 0 of 2 passes, at record 3: a program that is damaged"):
        go_on_together(sessions, [each.tokens[-1] for each in found], 2)
    assert [session.tokens for session in sessions] == before
    for region in program.regions:
        region.epoch = None
    rest = go_on_together(sessions, [each.tokens[-1] for each in found], 2)
    assert [a.tokens + b.tokens for a, b in zip(found, rest, strict=True)] == made


def test_keys_that_are_not_known_to_be_there_are_made_again(model):
    sessions, first = begun(model, PROMPTS[:3])
    made  = [list(model.generate_tokens(prompt, 5))[1:] for prompt in PROMPTS[:3]]
    found = go_on_together(sessions, first, 2, listed=True)
    layer = sessions[1].program.session["keys.0"]
    driver_of(model.device).link.memory[sessions[1].region.state_addr + layer.offset:][:layer.size] ^= 1
    sessions[1].region.epoch = None
    rest = go_on_together(sessions, [each.tokens[-1] for each in found], 2)
    assert [a.tokens + b.tokens for a, b in zip(found, rest, strict=True)] == made
    assert [session.read_again for session in sessions] == [0, len(PROMPTS[1]) + 2, 0]


def test_what_cannot_go_on_together(model, folder, wide_device):
    sessions, first = begun(model, PROMPTS[:2])
    for some, tokens in (([], []), ([sessions[0]]*2, first), (sessions, first[:1])):
        with pytest.raises(ModelError, match="each once and with a token"):
            go_on_together(some, tokens)
    with LlamaModel.from_pretrained(folder("tinyllama"), wide_device, group_size=32, decoder="device") as other:
        with other.session() as its, pytest.raises(ModelError, match="of several"):
            go_on_together([sessions[0], its], first)
    found = go_on_together(sessions, [first[0], 99])
    assert found[0].error is None and "found 99" in str(found[1].error)
