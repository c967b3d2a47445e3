# SPDX-License-Identifier: BSD-2-Clause
"""A server whose device's memory changes: found while idle or before a pass, put right, and no cache of it is kept."""

import time

import openai
import pytest

import mixpe
from mixpe.devices.driver import driver_of
from mixpe.serve import owner as owner_module
from tests.serve.conftest import LIMIT_S, served
from tests.serve.test_server import fetch

PROMPT = "def read(path):\n"


@pytest.fixture(scope="module", params=["host", "device"])
def model(request):
    url = "reference?decoder=1" if request.param == "device" else "reference"
    with mixpe.LlamaModel.from_pretrained(device=url, decoder=request.param) as model:
        yield model


@pytest.fixture
def pause(monkeypatch):
    """Hardly any, before a look."""
    monkeypatch.setattr(owner_module, "PAUSE_S", 0.05)


def ask(url, prompt, n=8):
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)
    return client.completions.create(model="bytes", prompt=prompt, max_tokens=n, temperature=0)


def flip(model):
    """A bit in the last layer's weights, past the driver."""
    layer = model._loader.layers[-1]
    driver_of(model.device).link.memory[layer.addrs[0] + 5] ^= 1
    driver_of(model.device).link.executor.written(layer.addrs[0] + 5, 1)


def metric(url, name):
    line, = [line for line in fetch(f"{url}/metrics")[1].splitlines() if line.startswith(f"mixpe_{name} ")]
    return int(line.split()[1])


def wait_for(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_damage_is_found_while_idle(model, pause):
    right = b"".join(model.generate(PROMPT, 8)).decode("utf-8", "replace")
    with served(model, check_s=0.0) as (url, _):
        assert ask(url, PROMPT).choices[0].text == right
        wait_for(lambda: metric(url, "looked_bytes_total") > sum(layer.weight_bytes for layer in model._loader.layers))
        flip(model)
        wait_for(lambda: metric(url, "damages_total") == 1)
        again = ask(url, PROMPT)
        assert again.choices[0].text == right
        assert again.usage.prompt_tokens_details.cached_tokens == 0  # what was made with it is kept no longer
        assert ask(url, PROMPT).usage.prompt_tokens_details.cached_tokens > 0
    assert model.device.check() > 0


def test_damage_is_found_before_a_pass(model, monkeypatch):
    """The request is told, and what follows is right."""
    right = b"".join(model.generate(PROMPT, 8)).decode("utf-8", "replace")
    monkeypatch.setattr(driver_of(model.device).upkeep, "check_s", 0.0)
    with served(model) as (url, _):
        assert ask(url, PROMPT).choices[0].text == right
        flip(model)
        with pytest.raises(openai.InternalServerError, match="no longer holds what was put there: lm_head"):
            ask(url, PROMPT + "x")
        assert metric(url, "damages_total") == 1
        again = ask(url, PROMPT)
        assert again.choices[0].text == right and again.usage.prompt_tokens_details.cached_tokens == 0


def test_nobody_looks_unless_asked(model, pause):
    with served(model) as (url, _):
        time.sleep(0.3)
        assert metric(url, "looked_bytes_total") == 0


def test_a_device_that_is_gone_while_idle_ends_nothing(model, pause, monkeypatch):
    with served(model, check_s=0.0) as (url, owner):
        with monkeypatch.context() as patch:
            calls = []

            def lost(*_):
                calls.append(1)
                raise mixpe.errors.LinkError("gone")

            patch.setattr(driver_of(model.device).transfer, "checksum", lost)
            wait_for(lambda: len(calls) > 2)
            assert owner.is_alive()
        assert ask(url, PROMPT).choices[0].text
