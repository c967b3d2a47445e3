# SPDX-License-Identifier: BSD-2-Clause
"""The server over HTTP: OpenAI's client, texts of many at once, clients that go away, and what is refused."""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import openai
import pytest

from mixpe.devices.driver import driver_of
from mixpe.errors import LinkError
from mixpe.serve import protocol
from tests.serve.conftest import served

REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b"
PROMPTS = ["def read(path):\n", "import os", "class A", "    return ", "for x in", "x = {", "try:\n", "# the"]


def client(url, key="none"):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def fetch(url, body=None, headers=None, method=None):
    """Status, JSON or text, and headers."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as found:
            text, status, sent = found.read().decode(), found.status, found.headers
    except urllib.error.HTTPError as error:
        text, status, sent = error.read().decode(), error.code, error.headers
    return status, json.loads(text) if text.startswith(("{", "[")) else text, sent


def alone(model, prompt, n):
    return b"".join(model.generate(prompt, n)).decode("utf-8", "replace")


def wait_for(condition, limit_s=20):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_openais_client_gets_the_models_text(server, model):
    found = client(server).completions.create(model="bytes", prompt=PROMPTS[0], max_tokens=20, temperature=0)
    assert found.choices[0].text == alone(model, PROMPTS[0], 20)
    assert found.choices[0].finish_reason == "length" and found.object == "text_completion"
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (len(PROMPTS[0]), 20)


def test_an_answer_shorter_than_the_time_between_readings_is_measured(model):
    with served(model) as (url, _):
        assert fetch(f"{url}/stats")[1]["window"] is None
        client(url).completions.create(model="bytes", prompt="a", max_tokens=2, temperature=0)
        wait_for(lambda: fetch(f"{url}/stats")[1]["window"] is not None)
        window = fetch(f"{url}/stats")[1]["window"]
        assert (window["tokens"], window["passes"]) == (2, 2) and window["counters"]["busy"] > 0


def test_a_stream_is_the_same_text_in_pieces(server, model):
    pieces = list(client(server).completions.create(model="bytes", prompt=PROMPTS[1], max_tokens=12, temperature=0,
        stream=True, stream_options={"include_usage": True}))
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == alone(model, PROMPTS[1], 12)
    assert pieces[-2].choices[0].finish_reason == "length" and pieces[-1].usage.completion_tokens == 12
    assert len(pieces) > 5


def test_a_stop_ends_the_text_before_it(server, model):
    text = alone(model, PROMPTS[0], 24)
    stop = text[9:12]
    found = client(server).completions.create(model="bytes", prompt=PROMPTS[0], max_tokens=24, temperature=0, stop=stop)
    assert found.choices[0].text == text[:text.index(stop)] and found.choices[0].finish_reason == "stop"


def test_a_seed_makes_a_draw_the_same(server):
    def draw(seed):
        return client(server).completions.create(model="bytes", prompt="def ", max_tokens=16, temperature=1.5,
            seed=seed).choices[0].text
    assert draw(1) == draw(1) and len({draw(1), draw(2), draw(-3), draw(None)}) > 1


def test_many_clients_at_once_each_get_their_own_text(server, model):
    wanted = {prompt: alone(model, prompt, 24) for prompt in PROMPTS}

    def ask(prompt):
        return client(server).completions.create(model="bytes", prompt=prompt, max_tokens=24, temperature=0)

    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        for prompt, found in zip(PROMPTS*2, pool.map(ask, PROMPTS*2, timeout=120), strict=True):
            assert found.choices[0].text == wanted[prompt]


def test_what_continues_a_text_keeps_its_cache(server, model):
    first = client(server).completions.create(model="bytes", prompt="def keep(self):\n", max_tokens=8, temperature=0)
    text  = "def keep(self):\n" + first.choices[0].text
    again = client(server).completions.create(model="bytes", prompt=text + "x", max_tokens=8, temperature=0)
    assert again.usage.prompt_tokens_details.cached_tokens >= len(text) - 1
    assert again.choices[0].text == alone(model, text + "x", 8)


def test_models_and_health(server):
    assert [each.id for each in client(server).models.list()] == ["bytes"]
    assert client(server).models.retrieve("bytes").owned_by == "mixpe"
    assert fetch(f"{server}/health")[:2] == (200, {"status": "ok"})
    with pytest.raises(openai.NotFoundError):
        client(server).models.retrieve("other")


def test_errors_have_openais_shape(server):
    with pytest.raises(openai.NotFoundError, match="'x' is not served here"):
        client(server).completions.create(model="x", prompt="a")
    with pytest.raises(openai.BadRequestError) as refused:
        client(server).completions.create(model="bytes", prompt="a", n=2)
    assert refused.value.param == "n" and refused.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="no chat template"):
        client(server).chat.completions.create(model="bytes", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.BadRequestError, match="context"):
        client(server).completions.create(model="bytes", prompt="a"*4000)
    assert fetch(f"{server}/v1/completions", b"{")[0] == 400
    assert fetch(f"{server}/v1/completions", b"["*100_000)[0] == 400
    assert fetch(f"{server}/v1/completions", b" "*(2 << 20))[0] == 413
    assert fetch(f"{server}/v1/completions")[0] == 405


@pytest.mark.parametrize(("path", "method", "status", "said"), [
    ("/v1/embeddings", "POST", 404, "/v1/embeddings"), ("/nowhere", "GET", 404, "/nowhere"),
    ("/v1/completions", "GET", 405, "GET"), ("/v1/models", "DELETE", 405, "DELETE"), ("/", "POST", 405, "POST")])
def test_what_is_not_there_is_said_in_openais_shape(server, path, method, status, said):
    found, body, headers = fetch(f"{server}{path}", method=method)
    assert found == status and headers["Content-Type"] == "application/json"
    assert body["error"]["type"] == "invalid_request_error" and said in body["error"]["message"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (headers["Allow"] is not None) == (status == 405)


def test_a_fault_of_the_servers_own_is_said_in_openais_shape(server, model, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("/a/path/of/this/machine")

    monkeypatch.setattr(model.tokenizer, "encode", fail, raising=False)
    with pytest.raises(openai.InternalServerError, match="RuntimeError") as failed:
        client(server).completions.create(model="bytes", prompt="a")
    assert failed.value.type == "server_error" and "/a/path" not in str(failed.value)


def answer_to(url, request):
    """Status, headers and JSON of what comes for these bytes, to the end of the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(4096):
            found += part
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), json.loads(body)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /" + b"a"*66_000, b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"])
def test_what_is_no_request_is_said_in_openais_shape(server, sent):
    status, head, body = answer_to(server, sent)
    assert status == 400 and b"content-type: application/json" in head
    assert body["error"]["type"] == "invalid_request_error"
    assert fetch(f"{server}/health")[0] == 200


def test_a_connection_too_many_is_said_in_openais_shape(model, monkeypatch):
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 8)
    with served(model) as (url, _), ExitStack() as opened:
        host, port = url.removeprefix("http://").split(":")
        for _ in range(8):
            connection = opened.enter_context(socket.create_connection((host, int(port)), timeout=20))
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with pytest.raises(openai.InternalServerError, match="8 connections are open already") as refused:
            client(url).models.list()
        assert refused.value.status_code == 503 and refused.value.code == "too_many_connections"
        assert refused.value.response.headers["Retry-After"] == "1"
        opened.close()
        wait_for(lambda: fetch(f"{url}/health")[0] == 200)


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "8.8.8.8", "[::2]",
    "[::1", "localhost:x", "evil.example@127.0.0.1", ""])
def test_another_sites_name_for_this_machine_is_refused(server, name):
    status, body, _ = fetch(f"{server}/stats", headers={"Host": name})
    assert status == 400 and repr(name) in body["error"]["message"]
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("name", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]", "[::1]:8000"])
def test_this_machines_names_are_taken(server, name):
    assert fetch(f"{server}/health", headers={"Host": name})[0] == 200


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_an_address_that_is_listened_on_is_taken(model, host):
    if host == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with served(model, host=host) as (url, _):
        assert fetch(f"{url}/health")[:2] == (200, {"status": "ok"})
        assert fetch(f"{url}/health", headers={"Host": "evil.example"})[0] == 400


def test_metrics_count_what_was_done(server):
    def value(name):
        text = fetch(f"{server}/metrics")[1]
        line, = [line for line in text.splitlines() if line.startswith(f"mixpe_{name} ")]
        return float(line.split()[1])
    before = value("generated_tokens_total"), value("prompt_tokens_total"), value('requests_total{outcome="length"}')
    client(server).completions.create(model="bytes", prompt="unheard of", max_tokens=5, temperature=0)
    wait_for(lambda: value('requests_total{outcome="length"}') == before[2] + 1)
    assert value("generated_tokens_total") == before[0] + 5
    assert value("prompt_tokens_total") == before[1] + len("unheard of")
    assert value('device_total{counter="jobs"}') > 0 and value('link_bytes_total{direction="sent"}') > 0


def test_the_page_comes_with_all_its_parts_and_a_policy(server):
    status, text, headers = fetch(f"{server}/")
    assert status == 200 and "default-src 'self'" in headers["Content-Security-Policy"]
    for part in ("/style.css", "/app.js"):
        assert part in text and fetch(f"{server}{part}")[0] == 200
    assert "http://" not in text and "https://" not in text  # nothing from elsewhere
    stats = fetch(f"{server}/stats")[1]
    assert stats["facts"]["model"] == "bytes" and stats["facts"]["device"]["url"] == "reference"


def test_a_key_is_asked_for(model):
    with served(model, key="secret") as (url, _):
        for path in ("/health", "/", "/app.js", "/style.css"):  # nothing in them is anybody's
            assert fetch(f"{url}{path}")[0] == 200
        asked = {"model": "bytes", "prompt": "a", "max_tokens": 1}
        for path, body, status in (("/v1/models", None, 200), ("/v1/models/bytes", None, 200),
                ("/v1/models/other", None, 404), ("/metrics", None, 200), ("/stats", None, 200),
                ("/v1/completions", asked, 200), ("/v1/completions", {**asked, "model": "other"}, 404),
                ("/v1/chat/completions", {}, 404)):
            for given in (None, "", "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secret secret"):
                found, answer, _ = fetch(f"{url}{path}", body, {} if given is None else {"Authorization": given})
                assert found == 401 and answer["error"]["code"] == "invalid_api_key" and "bytes" not in str(answer)
            for given in ("Bearer secret", "bearer secret", "BEARER  secret"):
                assert fetch(f"{url}{path}", body, {"Authorization": given})[0] == status
        with pytest.raises(openai.AuthenticationError):
            client(url, "no").completions.create(model="bytes", prompt="a")
        assert client(url, "secret").completions.create(model="bytes", prompt="a", max_tokens=1).choices


def test_a_full_queue_is_said_at_once_and_empties(model):
    with served(model, slots=1, waiting=1) as (url, owner):
        streams = [client(url).completions.create(model="bytes", prompt="def ", max_tokens=200, stream=True)
                   for _ in range(2)]
        wait_for(lambda: owner.lengths() == (1, 1))
        with pytest.raises(openai.RateLimitError, match="try again later"):
            client(url).completions.create(model="bytes", prompt="a")
        for stream in streams:
            stream.close()
        wait_for(lambda: owner.lengths() == (0, 0))
        assert fetch(f"{url}/stats")[1]["requests"]["cancelled"] == 2  # the one that only waited, too
        assert client(url).completions.create(model="bytes", prompt="a", max_tokens=2).usage.completion_tokens == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_place(stream, model):
    body = json.dumps({"model": "bytes", "prompt": "def ", "max_tokens": 200, "stream": stream}).encode()
    with served(model, slots=1) as (url, owner):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(REQUEST % (len(body), body))
            wait_for(lambda: owner.lengths() == (0, 1))
        wait_for(lambda: owner.lengths() == (0, 0))


def test_a_client_that_does_not_read_holds_nobody(model):
    body = json.dumps({"model": "bytes", "prompt": "def ", "max_tokens": 200, "stream": True}).encode()
    with served(model, slots=2) as (url, owner):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            connection.sendall(REQUEST % (len(body), body))
            wait_for(lambda: owner.lengths()[1] == 1)
            found = client(url).completions.create(model="bytes", prompt="a", max_tokens=10)
            assert found.usage.completion_tokens == 10
            wait_for(lambda: owner.lengths() == (0, 0), 60)  # the other one is made to its end meanwhile


def test_an_error_of_the_device_is_the_clients_and_the_next_request_is_right(model):
    with served(model) as (url, _):
        wanted = alone(model, "def ", 6)
        faults, run = [1], driver_of(model.device).execute

        def fail(calls):
            if faults:
                faults.pop()
                raise LinkError("the link was cut")
            return run(calls)

        driver_of(model.device).execute = fail
        try:
            with pytest.raises(openai.InternalServerError, match="the link was cut"):
                client(url).completions.create(model="bytes", prompt="def ", max_tokens=6)
            found = client(url).completions.create(model="bytes", prompt="def ", max_tokens=6, temperature=0)
        finally:
            del driver_of(model.device).execute
        assert found.choices[0].text == wanted


def test_closing_ends_what_is_under_way(model):
    with served(model, slots=1) as (url, owner):
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(fetch, f"{url}/v1/completions", {"model": "bytes", "prompt": "def ", "max_tokens": 250})
            wait_for(lambda: owner.lengths() == (0, 1))
            threading.Thread(target=owner.close).start()
            status, body, _ = asked.result(30)
    assert status == 500 and "closed" in body["error"]["message"]
