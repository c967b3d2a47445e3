# SPDX-License-Identifier: BSD-2-Clause
"""Bodies of requests: what is taken, and what is refused by the name of its field."""

import pytest

from mixpe.serve.ask import DEFAULT_TOKENS, IGNORED, NEUTRAL, AskError, parse

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = {"model": "m", "prompt": "hi"}


def test_defaults():
    ask = parse(CHAT, "m", chat=True)
    assert ask.messages == [{"role": "user", "content": "hi"}] and ask.prompt is None
    assert (ask.n, ask.temperature, ask.top_p, ask.seed, ask.stop) == (DEFAULT_TOKENS, 1.0, 1.0, None, ())
    assert not ask.stream and not ask.usage
    assert parse(TEXT, "m", chat=False).prompt == "hi"


@pytest.mark.parametrize("sent", [
    {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "logit_bias": {}, "tools": [],
     "response_format": {"type": "text"}, "user": "me", "store": None, "stop": None, "seed": None},
    {"functions": [], "function_call": "auto", "tool_choice": "auto", "parallel_tool_calls": False},
    {"reasoning_effort": "none", "verbosity": "medium", "modalities": ["text"], "prediction": {"content": "x"}},
    {"top_k": 0, "min_p": 0, "repetition_penalty": 1.0},
    {"top_k": -1, "repetition_penalty": 1, "function_call": "none"},
])
@pytest.mark.parametrize("chat", [True, False])
def test_what_clients_send_besides_changes_nothing(sent, chat):
    plain = CHAT if chat else TEXT
    assert parse({**plain, **sent}, "m", chat=chat) == parse(plain, "m", chat=chat)


@pytest.mark.parametrize("name", sorted({*IGNORED, *NEUTRAL, "max_tokens", "max_completion_tokens", "temperature",
    "top_p", "seed", "stop", "stream", "stream_options"}))
@pytest.mark.parametrize("chat", [True, False])
def test_null_is_as_good_as_nothing(name, chat):
    plain = CHAT if chat else TEXT
    assert parse({**plain, name: None}, "m", chat=chat) == parse(plain, "m", chat=chat)


def test_content_in_parts_and_the_developers_role():
    messages = [{"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        *CHAT["messages"]]
    assert parse({**CHAT, "messages": messages}, "m", chat=True).messages[0] == {"role": "system", "content": "ab"}


def test_the_newer_name_of_the_length_wins():
    assert parse({**CHAT, "max_tokens": 3, "max_completion_tokens": 5}, "m", chat=True).n == 5
    assert parse({**CHAT, "max_tokens": 3}, "m", chat=True).n == 3


@pytest.mark.parametrize(("change", "param"), [
    ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"), ({"messages": [3]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
    ({"temperature": -1}, "temperature"), ({"temperature": 2.1}, "temperature"), ({"temperature": True}, "temperature"),
    ({"temperature": float("nan")}, "temperature"), ({"temperature": "1"}, "temperature"),
    ({"top_p": 0}, "top_p"), ({"top_p": 1.5}, "top_p"), ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"), ({"max_completion_tokens": -1}, "max_completion_tokens"),
    ({"seed": 1 << 64}, "seed"), ({"seed": 0.5}, "seed"), ({"stop": ["a"]*5}, "stop"), ({"stop": [""]}, "stop"),
    ({"stop": 3}, "stop"), ({"stop": ["x"*300]}, "stop"), ({"stream": 1}, "stream"), ({"stream": "yes"}, "stream"),
    ({"stream_options": 3}, "stream_options"), ({"stream_options": {"x": 1}}, "stream_options"),
    ({"n": 2}, "n"), ({"tools": [{}]}, "tools"), ({"logprobs": True}, "logprobs"),
    ({"response_format": {"type": "json_object"}}, "response_format"), ({"presence_penalty": 0.5}, "presence_penalty"),
    ({"n": True}, "n"), ({"n": 0}, "n"), ({"logprobs": 0}, "logprobs"), ({"echo": 0}, "echo"),
    ({"presence_penalty": False}, "presence_penalty"), ({"top_k": 40}, "top_k"), ({"top_k": False}, "top_k"),
    ({"min_p": 0.1}, "min_p"), ({"repetition_penalty": 1.1}, "repetition_penalty"),
    ({"reasoning_effort": "low"}, "reasoning_effort"), ({"verbosity": "low"}, "verbosity"),
    ({"functions": [{}]}, "functions"), ({"tool_choice": "required"}, "tool_choice"),
    ({"audio": {"voice": "x"}}, "audio"), ({"web_search_options": {}}, "web_search_options"),
    ({"stream_options": []}, "stream_options"), ({"stream_options": False}, "stream_options"),
    ({"grammar": "x"}, "grammar"), ({"grammar": None}, "grammar"),
    ({"model": "other"}, "model"), ({"model": None}, "model"),
])
def test_what_is_refused(change, param):
    with pytest.raises(AskError) as refused:
        parse({**CHAT, **change}, "m", chat=True)
    assert refused.value.param == param and refused.value.status == (404 if param == "model" else 400)
    assert param.partition("[")[0] in str(refused.value)


@pytest.mark.parametrize(("logprobs", "taken"), [(None, True), (False, True), (0, False), (1, False), (True, False)])
def test_log_probabilities_of_a_text_are_refused(logprobs, taken):
    """0 asks for those of the tokens that were chosen."""
    if taken:
        assert parse({**TEXT, "logprobs": logprobs}, "m", chat=False).prompt == "hi"
        return
    with pytest.raises(AskError, match="logprobs is not supported: leave it out, or give false") as refused:
        parse({**TEXT, "logprobs": logprobs}, "m", chat=False)
    assert refused.value.code == "unsupported_parameter"


def test_what_would_be_right_is_said_as_json():
    with pytest.raises(AskError, match=r"top_k is not supported: leave it out, or give 0 or -1$"):
        parse({**CHAT, "top_k": 40}, "m", chat=True)
    with pytest.raises(AskError, match=r"audio is not supported: leave it out$"):
        parse({**CHAT, "audio": {}}, "m", chat=True)


@pytest.mark.parametrize("prompt", ["", [], ["a", "b"], [1, 2], 3, None])
def test_prompts_that_are_refused(prompt):
    with pytest.raises(AskError) as refused:
        parse({**TEXT, "prompt": prompt}, "m", chat=False)
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_a_body_is_an_object(body):
    with pytest.raises(AskError, match="JSON object"):
        parse(body, "m", chat=True)
