# SPDX-License-Identifier: BSD-2-Clause
"""A server on a free port, over the packaged model on the reference device."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

import mixpe
from mixpe.serve.protocol import config_of
from mixpe.serve.server import start

LIMIT_S = 30


@contextmanager
def served(model, name="bytes", host="127.0.0.1", **options):
    """Serve a model; gives its URL and its owner."""
    app, owner = start(model, name, host=host, **options)
    server = uvicorn.Server(config_of(app, log_level="error", end_s=2))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        end = time.monotonic() + LIMIT_S
        while not server.started:
            assert time.monotonic() < end and thread.is_alive()
            time.sleep(0.01)
        try:
            yield f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}", owner
        finally:
            server.should_exit = True
            thread.join(LIMIT_S)
            owner.close()
    assert not thread.is_alive() and not owner.is_alive()


@pytest.fixture(scope="session")
def model():
    with mixpe.LlamaModel.from_pretrained(device="reference") as model:
        yield model


@pytest.fixture(scope="session")
def server(model):
    with served(model, slots=3) as (url, _):
        yield url
