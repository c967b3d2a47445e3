# SPDX-License-Identifier: BSD-2-Clause
"""Eight clients at once for a while: every text is the one that its prompt has alone, and memory stays flat.

`make soak` lets them go on for ten minutes.
"""

import gc
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest

import mixpe
from tests.serve.conftest import served

SECONDS  = float(os.environ.get("MIXPE_SOAK_SECONDS", "6"))
CLIENTS  = 8
TOKENS   = 24
PROMPTS  = ["def read(path):\n", "import os", "class A", "    return ", "for x in", "x = {", "try:\n", "# the", "if a"]
GROWTH   = 24 << 20  # bytes that a server may grow by once every path was taken


def memory_bytes():
    """Of this process, which has server and clients."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1])*os.sysconf("SC_PAGE_SIZE")


def ask_for(url, seed, end, wanted):
    """One client until `end`: plain answers, streams, and streams that it leaves; returns how many it compared."""
    random_, compared = random.Random(seed), 0
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120)
    while time.monotonic() < end:
        prompt = random_.choice(PROMPTS)
        ask    = {"model": "bytes", "prompt": prompt, "max_tokens": TOKENS, "temperature": 0}
        kind   = random_.randrange(4)
        if kind < 2:
            text = client.completions.create(**ask).choices[0].text
        else:
            pieces = client.completions.create(**ask, stream=True)
            if kind == 3:
                next(iter(pieces))
                pieces.close()
                continue
            text = "".join(piece.choices[0].text for piece in pieces if piece.choices)
        assert text == wanted[prompt], (prompt, text)
        compared += 1
    client.close()
    return compared


@pytest.mark.parametrize("decoder", ["host", "device"])
@pytest.mark.timeout(SECONDS*2 + 300)
def test_eight_clients(decoder):
    url = "reference" if decoder == "host" else "reference?decoder=1"
    with mixpe.LlamaModel.from_pretrained(device=url, decoder=decoder) as model:
        wanted = {prompt: b"".join(model.generate(prompt, TOKENS)).decode("utf-8", "replace") for prompt in PROMPTS}
        for count in (2, 4, 8):
            model.prepare_sessions(count)  # programs for passes of so many stay on the device
        free   = model.device.info()["mem_free_bytes"]
        with served(model) as (url, owner), ThreadPoolExecutor(CLIENTS) as pool:
            def run(seconds):
                end   = time.monotonic() + seconds
                tasks = [pool.submit(ask_for, url, seed, end, wanted) for seed in range(CLIENTS)]
                return [task.result(seconds + 240) for task in tasks]

            run(SECONDS/3)  # until then every path was taken
            before = memory_bytes()
            counts = run(SECONDS*2/3)
            assert all(counts) and memory_bytes() - before < GROWTH
            end = time.monotonic() + 30
            while owner.lengths() != (0, 0):
                assert time.monotonic() < end
                time.sleep(0.05)
        assert model.device.info()["mem_free_bytes"] == free  # sessions are closed
