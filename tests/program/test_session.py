# SPDX-License-Identifier: BSD-2-Clause
"""Sessions on the reference device: texts that go on, several at once, what goes wrong, and where a decoder runs."""

import gc
import json

import numpy as np
import pytest

from mixpe.cli.main import main
from mixpe.devices import open_device
from mixpe.devices.driver import driver_of
from mixpe.errors import ConfigError, DeviceError, DeviceMemoryError, JobError, LinkTimeout, ModelError, RangeError
from mixpe.formats import safetensors
from mixpe.formats.hf_config import architecture_of
from mixpe.lm import LlamaModel
from mixpe.lm.conversation import Conversation
from mixpe.lm.sampling import Sampler
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import RECORD_BYTES


def snapshot(device):
    return driver_of(device).link.memory.copy()


def test_several_sessions_know_nothing_of_each_other(model, prompt):
    alone = list(model.generate_tokens(prompt, 12))
    other = list(model.generate_tokens(prompt[::-1], 12))
    assert alone != other
    with model.session() as a, model.session() as b:
        made = [[a.read(prompt)], [b.read(prompt[::-1])]]
        for _ in range(11):
            for session, tokens in zip((a, b), made, strict=True):
                tokens += session.go_on(tokens[-1], 1)
        assert made == [alone, other]


def test_a_text_goes_on_from_where_it_is_cut(model, prompt):
    with model.session() as session:
        first = session.read(prompt)
        made  = session.go_on(first, 5)
        session.length = 4
        assert session.tokens == prompt[:4]
        assert session.read(prompt[4:]) == first and session.go_on(first, 5) == made
        with pytest.raises(ModelError, match="cannot go on from token 15"):
            session.length = 15


def test_memory_comes_back(model, device, prompt):
    free = driver_of(device).memory.free_bytes
    session = model.session()
    session.read(prompt)
    session.close()
    session.close()
    with pytest.raises(DeviceError, match="closed"):
        session.read(prompt)
    generation = model.generate_tokens(prompt, 3)
    assert next(generation) >= 0 and driver_of(device).memory.free_bytes < free
    del generation
    gc.collect()
    assert driver_of(device).memory.free_bytes == free
    model.close()
    assert driver_of(device).memory.free_bytes == driver_of(device).memory.total_bytes


def test_sessions_until_the_memory_is_full(model, device):
    sessions = []
    with pytest.raises(DeviceMemoryError):
        while len(sessions) < 1000:
            sessions.append(model.session())
    free = driver_of(device).memory.free_bytes
    assert len(sessions) > 3
    sessions.pop().close()
    sessions.append(model.session())
    assert driver_of(device).memory.free_bytes == free


def test_requests_that_cannot_be(model, prompt):
    with model.session() as session:
        before = snapshot(model.device)
        for tokens, match in (([], "no token"), ([99], r"0 … 98, found 99"), ([-1], "found -1"),
                (list(range(81)), "81 tokens are more than the session's context of 80")):
            with pytest.raises(ModelError, match=match):
                session.read(tokens)
        with pytest.raises(ModelError, match="81 tokens are more"):
            session.go_on(3, 81)
        np.testing.assert_array_equal(snapshot(model.device), before)
        session.read(list(range(80)))
        with pytest.raises(ModelError, match="81 tokens are more"):
            session.go_on(3, 1)
        assert session.length == 80
    with pytest.raises(ModelError, match="more than the trained context of 80; at most 72 can follow"):
        model.generate_tokens(prompt, 73)


def program_of(model):
    return model._decoder.program


@pytest.mark.parametrize("record", [0, 1, 9, 25])
def test_a_damaged_program_ends_with_its_code_and_changes_nothing_else(model, prompt, record):
    device, program = model.device, program_of(model)
    with model.session() as session:
        first = session.read(prompt)
        at = program._records[0].region.addr + RECORD_BYTES*record + 20
        driver_of(device).link.memory[at] ^= 4
        before = snapshot(device)
        with pytest.raises(JobError, match=f"after 0 of them, at record {record}: a program that is damaged") as error:
            session.go_on(first, 3)
        assert error.value.code == JobCode.PROGRAM and session.tokens == prompt
        after = snapshot(device)
        start = session._region.state_addr
        size  = program.program.session.cache_start
        outside = np.r_[0:start, start + size:len(after)]
        layer = program.program.session["keys.0"], program.program.session["scales.0"]
        if record < 9:  # nothing was appended yet
            np.testing.assert_array_equal(after[outside], before[outside])
        assert layer and (record or (after == before).all())
        driver_of(device).link.memory[at] ^= 4
        made = session.go_on(first, 3)
    assert [first, *made] == list(model.generate_tokens(prompt, 4))


def test_a_program_of_another_model_is_not_run(model, folder, prompt):
    with LlamaModel.from_pretrained(folder("tinyllama"), model.device, group_size=32, decoder="device") as other:
        mine, its = program_of(model), program_of(other)
        assert mine._records[0].identity != its._records[0].identity
        with model.session() as session:
            kept = [each.region for each in mine._records]
            for each, other_one in zip(mine._records, its._records, strict=True):
                each.region = other_one.region
            before = snapshot(model.device)
            with pytest.raises(JobError) as error:
                session.read(prompt)
            assert error.value.code == JobCode.PROGRAM and session.length == 0
            after = snapshot(model.device)
            changed = np.flatnonzero(after != before)  # ids of the prompt alone
            first = session._region.tokens_addr
            assert not changed.size or (changed.min() >= first and changed.max() < first + 4*len(prompt))
            for each, region in zip(mine._records, kept, strict=True):
                each.region = region
            session.read(prompt)


def test_numbers_out_of_range_leave_what_was_before_them(model, prompt, monkeypatch):
    """At a later pass: the positions before it are valid, and the text goes on right once it can."""
    from mixpe_gateware.contract.program import vector
    made = list(model.generate_tokens(prompt, 8))
    with model.session() as session:
        first, count, silu = session.read(prompt), 0, vector._RESULTS[2]

        def fail(operands):
            nonlocal count
            count += 1
            if count == 2*3 + 1:
                raise RangeError("too large")
            return silu(operands)

        monkeypatch.setitem(vector._RESULTS, 2, fail)
        with pytest.raises(JobError, match="after 3 of them, at record .*: a number left FP32") as error:
            session.go_on(first, 6)
        assert error.value.code == JobCode.RANGE
        assert session.tokens == [*prompt, first, *made[1:3]]
        assert session.go_on(made[3], 4) == made[4:8]


def test_after_trouble_on_the_link_nothing_is_taken_for_granted(model, device, prompt, monkeypatch):
    """A run whose end never comes: its positions do not count, weights and program are looked at, the text goes on."""
    made = list(model.generate_tokens(prompt, 8))
    with model.session() as session:
        first = session.read(prompt)

        def lost():
            raise LinkTimeout("nothing comes")

        monkeypatch.setattr(driver_of(device).queue, "collect", lost)
        with pytest.raises(LinkTimeout):
            session.go_on(first, 4)
        monkeypatch.undo()
        assert session.tokens == prompt
        program = program_of(model)
        for region in (*[each.region for each in program._records], program._constants):
            driver_of(device).link.memory[region.addr + 40] ^= 255
        layer = model.jobs["layers.0.o"].linear
        driver_of(device).link.memory[layer.addrs[0] + 3] ^= 255
        assert session.go_on(first, 7) == made[1:]
        assert driver_of(device).epoch > 0 and session.read_again == len(prompt)


def test_tokens_that_end_a_text(folder, device, prompt, model):
    made = list(model.generate_tokens(prompt, 20))
    end  = next(token for token in made if token != made[0])
    path = folder("smollm2")
    model._decoder.free()
    model._ends = lambda: [end]
    model._put_decoder_on_device("a16", None, False)
    assert path.is_dir()
    where = made.index(end)
    with model.session() as session:
        assert session.go_on(session.read(prompt), 19) == made[1:where + 1]
        assert session.tokens == [*prompt, *made[:where]]


def test_sampling_is_from_the_largest(model, prompt):
    """The same choices as from all logits, of which the largest have nearly all the probability."""
    for settings in ({"temperature": 0.7, "seed": 4}, {"temperature": 1.0, "top_p": 0.6, "seed": 1}):
        made    = list(model.generate_tokens(prompt, 24, **settings))
        sampler = Sampler(**settings)
        cache   = model.new_cache()
        logits, tokens = model.forward([prompt], cache)[0, -1], []
        for _ in range(24):
            kept = np.full_like(logits, -np.inf)
            kept[np.argsort(-logits, kind="stable")[:64]] = 0
            tokens.append(sampler(logits + kept))
            logits = model.forward([[tokens[-1]]], cache)[0, -1]
        assert made == tokens


def test_the_largest_alone_is_found_where_the_others_are_not_wanted(model, prompt):
    with model.session() as session:
        first = session.read(prompt)
        with pytest.raises(ModelError, match="listed=True"):
            session.top()
        made = session.go_on(first, 3, listed=True)
        found, logits = session.top()
        assert found[0] == made[2] and len(found) == 64 and (np.diff(logits) <= 0).all()
        session.length -= 3
        assert session.go_on(first, 3) == made
        with pytest.raises(ModelError, match="listed=True"):
            session.top()
        session.length -= len(prompt) + 3
        assert session.read(prompt, listed=True) == first == session.top()[0][0]


def test_tokens_that_may_not_be_chosen(model, prompt):
    """The likeliest of those that may, wherever in a run it would have been another one."""
    free = list(model.generate_tokens(prompt, 16))
    for ban in ({free[0]}, {free[3]}, set(free[1:9])):
        allowed = np.ones(model.config.vocab_size, bool)
        allowed[list(ban)] = False
        generation = model.generation(np.array(prompt), 16, Sampler(allowed=allowed))
        made  = list(generation)
        cache, tokens = model.new_cache(), []
        logits = model.forward([prompt], cache)[0, -1]
        for _ in range(16):
            tokens.append(int(np.where(allowed, logits, -np.inf).argmax()))
            logits = model.forward([[tokens[-1]]], cache)[0, -1]
        assert made == tokens and generation.tokens == tuple(tokens)


def test_in_another_arithmetic_the_host_makes_the_text(model, device, prompt):
    """Nothing of it runs as a program, and its caches are the host's."""
    twin    = model.in_arithmetic("float32")
    records = device.counters()["records"]
    made    = list(twin.generate_tokens(prompt, 5))
    assert device.counters()["records"] == records
    cache, tokens = twin.new_past(), prompt
    for token in made:
        assert token == int(twin.forward([tokens], cache, last_only=True)[0, -1].argmax())
        tokens = [token]
    with pytest.raises(ModelError, match="needs a decoder"):
        twin.session()
    assert list(model.in_arithmetic("decoder").generate_tokens(prompt, 5)) == list(model.generate_tokens(prompt, 5))
    assert device.counters()["records"] > records


def test_statistics(model, prompt):
    generation = model.generate_tokens(prompt, 17)
    list(generation)
    found = generation.statistics()
    assert (found.prefill.tokens, found.decode.tokens) == (9, 16)
    records = program_of(model).program.records - 1
    assert found.decode.counters["records"] == 16*records and found.decode.counters["jobs"] == 2
    assert found.decode.link_bytes/16 < 64


def test_a_prompt_in_parts(model, prompt):
    """Nothing is chosen before the last part, and what is chosen is the same."""
    with model.session() as whole, model.session() as parts:
        first = whole.read(prompt)
        assert parts.read(prompt[:4], more=True) is None and parts.length == 4
        assert parts.read(prompt[4:7], more=True) is None
        assert parts.read(prompt[7:]) == first and parts.tokens == whole.tokens
        assert parts.go_on(first, 4) == whole.go_on(first, 4)


def test_where_a_decoder_runs(folder, device):
    path = folder("smollm2")
    with pytest.raises(RangeError, match="decoder must be one of"):
        LlamaModel.from_pretrained(path, device, decoder="gpu")
    with pytest.raises(ConfigError, match="needs a device"):
        LlamaModel.from_pretrained(path, decoder="device")
    with LlamaModel.from_pretrained(path, device, group_size=32, decoder="host") as model:
        with pytest.raises(ModelError, match="needs a decoder on a device"):
            model.session()
        assert model.context == 80
    with open_device("reference", mem_bytes=16 << 20) as plain:
        with pytest.raises(ConfigError, match="has no decoder"):
            LlamaModel.from_pretrained(path, plain, group_size=32, decoder="device")
        assert driver_of(plain).memory.free_bytes == driver_of(plain).memory.total_bytes
        with LlamaModel.from_pretrained(path, plain, group_size=32) as model:
            assert len(list(model.generate_tokens([1, 2], 3))) == 3
    with LlamaModel.from_pretrained(path, device, group_size=32, activations="a8") as model:
        assert any("the decoder runs on the host" in note for note in model.notes)
    with pytest.raises(ConfigError, match="takes the activations a16 or a8g, not a8"):
        LlamaModel.from_pretrained(path, device, group_size=32, activations="a8", decoder="device")
    with LlamaModel.from_pretrained(path, device, group_size=32, head_bits=8, context=70) as model:
        assert model.context == 70 and model.notes == ()  # the head's own weights embed
    with LlamaModel.from_pretrained(path, "reference?decoder=1", group_size=32) as model:
        assert model.session().length == 0
    assert driver_of(device).memory.free_bytes == driver_of(device).memory.total_bytes


def test_a_context_as_long_as_memory_has(folder):
    def needed(context):
        with open_device("reference", decoder=True, mem_bytes=16 << 20) as device:
            LlamaModel.from_pretrained(folder("biases"), device, group_size=32, context=context).session()
            return -(-(driver_of(device).memory.total_bytes - driver_of(device).memory.free_bytes)//4096)*4096

    assert needed(64) < needed(80)
    with open_device("reference", decoder=True, mem_bytes=needed(64)) as device:
        with LlamaModel.from_pretrained(folder("biases"), device, group_size=32, decoder="device") as model:
            assert model.context == 64 < model.config.max_position_embeddings
            with pytest.raises(DeviceMemoryError):
                model._put_decoder_on_device("a16", 80, False)


def test_a_talk_does_not_read_its_past_again(tmp_path, device, small):
    """Answers are the model's, and of what was said only the new part is read."""
    tokenizers = pytest.importorskip("tokenizers")
    values   = small.config("smollm2") | {"vocab_size": 300}
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pipeline = tokenizers.Tokenizer(tokenizers.models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    pipeline.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    pipeline.decoder = tokenizers.decoders.ByteLevel()
    pipeline.add_special_tokens([tokenizers.AddedToken(f"<{i}>", normalized=False) for i in range(5)])
    pipeline.save(str(tmp_path/"tokenizer.json"))
    (tmp_path/"tokenizer_config.json").write_text(json.dumps({"bos_token": "<0>", "eos_token": "<1>",
        "chat_template": "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"}))
    (tmp_path/"config.json").write_text(json.dumps(values))
    architecture = architecture_of(values, own_head=False)
    safetensors.save(tmp_path/"model.safetensors", small.weights(architecture))
    with LlamaModel.from_pretrained(tmp_path, device, group_size=32, decoder="device") as model:
        talk, passes, run = Conversation(model), [], model._decoder.program.run

        def counted(session, tokens, position, count, *how):
            passes.append((position, count))
            return run(session, tokens, position, count, *how)

        model._decoder.program.run = counted
        first  = "".join(talk.ask("ab", 6))
        begin  = len(passes)
        pieces = talk.ask("cd", 12)
        next(pieces, None)
        pieces.close()
        asked = talk.messages[:3]
        whole = model.tokenizer.chat.encode(model.tokenizer, asked)
        known, count = passes[begin]
        assert known >= 5 and known + count == len(whole)  # what came before stays in the cache
        assert asked[1]["content"] == first
        talk.messages = talk.messages[:2]
        second = "".join(talk.ask("cd", 5))
        alone  = Conversation(model)
        alone.messages = talk.messages[:2]
        assert "".join(alone.ask("cd", 5)) == second
        free = driver_of(device).memory.free_bytes
        talk.reset()
        assert talk.messages == [] and "".join(talk.ask("ab", 6)) == first
        assert driver_of(device).memory.free_bytes == free  # the session's memory serves the next conversation


def test_the_command_generates_on_the_device(capsys):
    assert main(["generate", "--device", "reference?decoder=1", "--decoder", "device", "--context", "64",
        "--tokens", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["statistics"]["decode"]["counters"]["jobs"] == 1 and len(found["tokens"]) == 9
    assert main(["generate", "--decoder", "device", "--tokens", "2"]) == 2
    assert "has no decoder" in capsys.readouterr().err
