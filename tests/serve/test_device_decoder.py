# SPDX-License-Identifier: BSD-2-Clause
"""A server over a device's own decoder: sessions in its memory, one for each text."""

import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

import mixpe
from mixpe.errors import DeviceMemoryError, JobError
from mixpe.lm.together import Advance
from mixpe.serve import passes
from mixpe.serve.owner import CHUNK
from mixpe_gateware.contract.jobs import JobCode
from tests.serve.conftest import served

PROMPTS = ["def read(path):\n", "import os", "class A"]


@pytest.fixture(scope="module")
def model():
    with mixpe.LlamaModel.from_pretrained(device="reference?decoder=1", decoder="device") as model:
        yield model


def ask(url, prompt, n=12, **options):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)
    options = {"temperature": 0, **options}
    return client.completions.create(model="bytes", prompt=prompt, max_tokens=n, **options)


def alone(model, prompt, n=12, **options):
    return b"".join(model.generate(prompt, n, **options)).decode("utf-8", "replace")


def test_texts_are_those_of_the_device(model):
    runs, run = [], model._decoder.program.run
    batches, together = [], model._decoder.program.batches.run
    model._decoder.program.run = lambda *given: (runs.append(given), run(*given))[1]
    model._decoder.program.batches.run = lambda *given: (batches.append(given), together(*given))[1]
    try:
        with served(model) as (url, _), ThreadPoolExecutor(3) as pool:
            for prompt, found in zip(PROMPTS, pool.map(lambda prompt: ask(url, prompt), PROMPTS), strict=True):
                assert found.choices[0].text == alone(model, prompt)
            assert not any(listed for *_, listed, _ in runs)  # greedy
            assert len(runs) < len(PROMPTS)*12 and batches    # more than one at a time
            long  = "y"*(2*CHUNK + 4)
            begun = len(runs)
            assert ask(url, long, 1).choices[0].text == alone(model, long, 1)
            assert [more for *_, more in runs[begun:begun + 3]] == [True, True, False]  # pieces without the head
            drawn = ask(url, "def ", temperature=0.8, top_p=0.9, seed=7).choices[0].text
            assert drawn == alone(model, "def ", temperature=0.8, top_p=0.9, seed=7)
    finally:
        del model._decoder.program.run, model._decoder.program.batches.run
    assert len(runs) + sum(len(sessions) for sessions, *_ in batches) >= 4*12


def test_greedy_and_drawn_texts_in_one_pass(model):
    settings = ({}, {"temperature": 0.8, "seed": 3}, {"temperature": 1.1, "top_p": 0.8, "seed": 5})
    with served(model) as (url, _), ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda case: ask(url, case[0], **case[1]), zip(PROMPTS, settings, strict=True)))
    for prompt, options, each in zip(PROMPTS, settings, found, strict=True):
        assert each.choices[0].text == alone(model, prompt, **options)


def test_what_one_text_alone_fails_at_ends_it_alone(model, monkeypatch):
    """Numbers of one session leave their range: its client is told, the others get their texts."""
    wanted, together = [alone(model, prompt, 24) for prompt in PROMPTS], passes.go_on_together
    failing = list(PROMPTS[1].encode())

    def fails(sessions, tokens, **options):
        found = together(sessions, tokens, **options)
        return [Advance(error=JobError("a number left FP32", JobCode.RANGE)) if session.tokens[:len(failing)] == failing
            else each for session, each in zip(sessions, found, strict=True)]

    monkeypatch.setattr(passes, "go_on_together", fails)
    with served(model) as (url, owner), ThreadPoolExecutor(3) as pool:
        found = [pool.submit(ask, url, prompt, 24) for prompt in PROMPTS]
        with pytest.raises(openai.InternalServerError, match="a number left FP32"):
            found[1].result()
        assert [found[index].result().choices[0].text for index in (0, 2)] == [wanted[0], wanted[2]]
        monkeypatch.undo()
        assert ask(url, PROMPTS[1], 24).choices[0].text == wanted[1] and owner.is_alive()


def test_what_continues_a_text_keeps_its_session(model):
    with served(model) as (url, _):
        text  = PROMPTS[0] + ask(url, PROMPTS[0]).choices[0].text
        again = ask(url, text + "x")
        assert again.usage.prompt_tokens_details.cached_tokens >= len(text) - 1
        assert again.choices[0].text == alone(model, text + "x")


@pytest.mark.parametrize("most", [1, 2])
def test_where_there_is_no_room_for_a_session_requests_wait(model, monkeypatch, most):
    open_ones, session = [], model.session

    def limited():
        open_ones[:] = [each for each in open_ones if each._region is not None]
        if len(open_ones) >= most:
            raise DeviceMemoryError("no room")
        open_ones.append(session())
        return open_ones[-1]

    wanted = {prompt: alone(model, prompt) for prompt in PROMPTS}
    monkeypatch.setattr(model, "session", limited)
    with served(model) as (url, owner), ThreadPoolExecutor(3) as pool:
        for prompt, found in zip(PROMPTS*2, pool.map(lambda prompt: ask(url, prompt), PROMPTS*2), strict=True):
            assert found.choices[0].text == wanted[prompt]
        end = time.monotonic() + 10
        while owner.lengths() != (0, 0):
            assert time.monotonic() < end
            time.sleep(0.02)
    assert all(each._region is None for each in open_ones)


def test_a_device_without_any_room_says_so(model, monkeypatch):
    def full():
        raise DeviceMemoryError("no room")

    monkeypatch.setattr(model, "session", full)
    with served(model) as (url, owner):
        with pytest.raises(openai.InternalServerError, match="no room"):
            ask(url, "a")
        monkeypatch.undo()
        assert ask(url, "a").choices[0].text == alone(model, "a")
        assert owner.is_alive()


def out_of_memory(*_given):
    raise DeviceMemoryError("out")


def test_memory_comes_back_after_an_error(model, monkeypatch):
    free = model.device.info()["mem_free_bytes"]
    with served(model) as (url, _):
        with monkeypatch.context() as patch:
            patch.setattr(model._decoder.program, "run", out_of_memory)
            with pytest.raises(openai.InternalServerError, match="out"):
                ask(url, "a")
        assert model.device.info()["mem_free_bytes"] == free
        assert ask(url, "a").choices[0].text == alone(model, "a")
    assert model.device.info()["mem_free_bytes"] == free
