# SPDX-License-Identifier: BSD-2-Clause
"""Conversations with OpenAI's client: whole, in pieces, stops and roles, with a chat template on the packaged model."""

import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from mixpe.text.chat import ChatTemplate
from tests.serve.conftest import served

TEMPLATE = ("{% for each in messages %}{% if each.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no role ' + each.role) }}{% endif %}"
    "# {{ each.role }}: {{ each.content }}\n{% endfor %}{% if add_generation_prompt %}def {% endif %}")
TALK = [{"role": "system", "content": "short"}, {"role": "user", "content": "read"},
    {"role": "assistant", "content": "def read():"}, {"role": "user", "content": "again"}]
TEXT = "# system: short\n# user: read\n# assistant: def read():\n# user: again\ndef "


@pytest.fixture
def chats(model, monkeypatch):
    """OpenAI's chats with a server whose model has a template."""
    monkeypatch.setattr(model.tokenizer, "chat", ChatTemplate({"default": TEMPLATE}))
    with served(model) as (url, _):
        yield openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60).chat.completions


@pytest.fixture
def wanted(model):
    """What the model writes behind a text."""
    return lambda text, n: b"".join(model.generate(text, n)).decode("utf-8", "replace")


def ask(chats, messages=TALK, n=20, **options):
    return chats.create(model="bytes", messages=messages, max_completion_tokens=n, temperature=0, **options)


def test_a_whole_answer_follows_all_turns(chats, wanted):
    found  = ask(chats)
    choice = found.choices[0]
    assert choice.message.content == wanted(TEXT, 20)
    assert (choice.message.role, choice.finish_reason, choice.index) == ("assistant", "length", 0)
    assert choice.message.refusal is None and choice.logprobs is None
    assert found.object == "chat.completion" and found.model == "bytes" and found.id.startswith("chatcmpl-")
    usage = found.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (len(TEXT), 20, len(TEXT) + 20)


def test_a_stream_is_the_same_answer_in_pieces(chats, wanted):
    pieces = list(ask(chats, stream=True, stream_options={"include_usage": True}))
    *parts, last, usage = pieces
    assert {piece.object for piece in pieces} == {"chat.completion.chunk"} and len({piece.id for piece in pieces}) == 1
    assert [part.choices[0].delta.role for part in parts] == ["assistant", *[None]*(len(parts) - 1)]
    assert "".join(part.choices[0].delta.content for part in parts) == wanted(TEXT, 20) and len(parts) > 5
    assert all(part.choices[0].finish_reason is None for part in parts)
    assert last.choices[0].finish_reason == "length" and last.choices[0].delta.content is None
    assert usage.choices == [] and (usage.usage.prompt_tokens, usage.usage.completion_tokens) == (len(TEXT), 20)


def test_usage_comes_only_where_it_is_asked_for(chats):
    assert all(piece.choices and piece.usage is None for piece in ask(chats, n=3, stream=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_the_answer_before_it(chats, wanted, stream):
    text  = wanted(TEXT, 24)
    stop  = text[8:11]
    found = ask(chats, n=24, stop=[stop, "\0never"], stream=stream)
    if stream:
        choices = [piece.choices[0] for piece in found]
        content, reason = "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason
    else:
        content, reason = found.choices[0].message.content, found.choices[0].finish_reason
    assert content == text[:text.index(stop)] and reason == "stop"


def test_a_developer_is_the_system_and_content_comes_in_parts(chats, wanted):
    parts    = [{"type": "text", "text": "re"}, {"type": "text", "text": "ad"}]
    messages = [{"role": "developer", "content": "short"}, {"role": "user", "content": parts}, *TALK[2:]]
    assert ask(chats, messages).choices[0].message.content == wanted(TEXT, 20)


def test_the_next_turn_keeps_the_cache(chats, wanted):
    begun = "# system: short\n# user: read\n"
    first = ask(chats, TALK[:2], 6)
    again = ask(chats, [*TALK[:2], {"role": "user", "content": "more"}], 6)
    assert first.choices[0].message.content == wanted(f"{begun}def ", 6)
    assert again.choices[0].message.content == wanted(f"{begun}# user: more\ndef ", 6)
    assert again.usage.prompt_tokens_details.cached_tokens == len(begun)


def test_a_template_that_takes_long_holds_nobody_else(chats, model, monkeypatch):
    """It is a program that came with the model, and runs before the model does."""
    begun, let_go = threading.Event(), threading.Event()

    class Slow:
        def encode(self, tokenizer, messages):
            begun.set()
            assert let_go.wait(20)
            return tokenizer.encode(messages[0]["content"])

    monkeypatch.setattr(model.tokenizer, "chat", Slow())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, chats, TALK, 2)
        try:
            assert begun.wait(20)
            found = chats._client.with_options(timeout=10).completions.create(model="bytes", prompt="a", max_tokens=2)
            assert found.usage.completion_tokens == 2 and not asked.done()
        finally:
            let_go.set()
        assert asked.result(20).usage.prompt_tokens == len("short")


def test_what_a_conversation_is_refused_for(chats, model, monkeypatch):
    with pytest.raises(openai.BadRequestError, match=r"messages\[1\].role") as refused:
        ask(chats, [TALK[0], {"role": "tool", "content": "x", "tool_call_id": "1"}])
    assert refused.value.param == "messages[1].role"
    with pytest.raises(openai.BadRequestError, match="context") as refused:
        ask(chats, [{"role": "user", "content": "x"*400}])
    assert refused.value.code == "context_length_exceeded"
    monkeypatch.setattr(model.tokenizer, "chat", ChatTemplate({"default": "{{ raise_exception('not so') }}"}))
    with pytest.raises(openai.BadRequestError, match="not so"):
        ask(chats)
