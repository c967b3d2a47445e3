# SPDX-License-Identifier: BSD-2-Clause
"""Bodies of requests: what is taken, and what is refused by the name of its field."""

import pytest

from mixpe.serve.ask import DEFAULT_TOKENS, AskError, parse

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TEXT = {"model": "m", "prompt": "hi"}


def test_defaults():
    ask = parse(CHAT, "m", chat=True)
    assert ask.messages == [{"role": "user", "content": "hi"}] and ask.prompt is None
    assert (ask.n, ask.temperature, ask.top_p, ask.seed, ask.stop) == (DEFAULT_TOKENS, 1.0, 1.0, None, ())
    assert not ask.stream and not ask.usage
    assert parse(TEXT, "m", chat=False).prompt == "hi"


def test_what_clients_send_besides_changes_nothing():
    sent = {"n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logprobs": False, "logit_bias": {}, "tools": [],
        "response_format": {"type": "text"}, "user": "me", "store": None, "stop": None, "seed": None}
    assert parse({**CHAT, **sent}, "m", chat=True) == parse(CHAT, "m", chat=True)


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
    ({"grammar": "x"}, "grammar"), ({"model": "other"}, "model"), ({"model": None}, "model"),
])
def test_what_is_refused(change, param):
    with pytest.raises(AskError) as refused:
        parse({**CHAT, **change}, "m", chat=True)
    assert refused.value.param == param and refused.value.status == (404 if param == "model" else 400)
    assert param.partition("[")[0] in str(refused.value)


@pytest.mark.parametrize("prompt", ["", [], ["a", "b"], [1, 2], 3, None])
def test_prompts_that_are_refused(prompt):
    with pytest.raises(AskError) as refused:
        parse({**TEXT, "prompt": prompt}, "m", chat=False)
    assert refused.value.param == "prompt"


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_a_body_is_an_object(body):
    with pytest.raises(AskError, match="JSON object"):
        parse(body, "m", chat=True)
