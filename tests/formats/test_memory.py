# SPDX-License-Identifier: BSD-2-Clause
"""What a process takes of the host's memory, beside the pages of mapped files, on a synthetic GGUF file.

    pytest -m slow tests/formats/test_memory.py                          256 MiB
    MIXPE_FILE_MIB=4096 pytest -m slow tests/formats/test_memory.py      4 GiB

Pages of a mapped file are the system's to take back at any time. What counts is RssAnon of a process of its own, looked
at every few milliseconds, less that of one that has imported the same.
"""

import math
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixpe.formats.ggml_blocks import TYPES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(6*3600)]

FILE_MIB = int(os.environ.get("MIXPE_FILE_MIB", "256"))
BLOCKS   = [kind.name for kind in TYPES.values() if kind.weights > 1]
NUMBERS  = {kind.name: number for number, kind in TYPES.items()}
KINDS    = {kind.name: kind for kind in TYPES.values()}
HIDDEN, INNER, LAYERS, WORDS = 1024, 2048, 10, 64  # WORDS: rows of an embedding are a multiple of it


def shapes(vocabulary, largest):
    """Tensors of the file: list of (name, shape, type); the large one, and others of all types of blocks."""
    found = [("token_embd.weight", (vocabulary, HIDDEN), largest), ("output_norm.weight", (HIDDEN,), "F32")]
    parts = {"attn_q": (HIDDEN, HIDDEN), "attn_k": (HIDDEN, HIDDEN), "attn_v": (HIDDEN, HIDDEN),
        "attn_output": (HIDDEN, HIDDEN), "ffn_gate": (INNER, HIDDEN), "ffn_up": (INNER, HIDDEN),
        "ffn_down": (HIDDEN, INNER)}
    for i in range(LAYERS):
        found += [(f"blk.{i}.{norm}.weight", (HIDDEN,), "F32") for norm in ("attn_norm", "ffn_norm")]
        found += [(f"blk.{i}.{part}.weight", shape, BLOCKS[i % len(BLOCKS)]) for part, shape in parts.items()]
    return found


def size_of(shape, kind):
    return math.prod(shape)//KINDS[kind].weights*KINDS[kind].nbytes


def write_file(path, small, largest):
    """A sparse file of about `FILE_MIB`, most of it one tensor; returns the bytes of that."""
    others     = sum(size_of(shape, kind) for _, shape, kind in shapes(WORDS, largest))
    row        = size_of((1, HIDDEN), largest)
    vocabulary = max(WORDS, ((FILE_MIB << 20) - others)//row//WORDS*WORDS)
    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()

    def number(value):
        return 4, struct.pack("<I", value)

    pairs = [("general.architecture", 8, string("llama"))]
    pairs += [(f"llama.{key}", *number(value)) for key, value in {"block_count": LAYERS, "context_length": 64,
        "embedding_length": HIDDEN, "feed_forward_length": INNER, "attention.head_count": 8,
        "attention.head_count_kv": 8}.items()]
    pairs += [("llama.attention.layer_norm_rms_epsilon", 6, struct.pack("<f", 1e-5))]
    place, tensors = 0, []
    for name, shape, kind in shapes(vocabulary, largest):
        tensors.append((name, tuple(reversed(shape)), NUMBERS[kind], place))
        place += -(-size_of(shape, kind)//32)*32
    head = small.raw_gguf(pairs, tensors)
    path.write_bytes(head)
    os.truncate(path, len(head) + -len(head) % 32 + place)
    return row*vocabulary


def peak_bytes(code, *arguments):
    """Largest RssAnon of a fresh interpreter that runs `code`, above that after its first line, and what it prints."""
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        status = Path(f"/proc/{child.pid}/status")

        def anonymous():
            lines = [line for line in status.read_text().splitlines() if line.startswith("RssAnon")]
            return int(lines[0].split()[1]) << 10 if lines else 0  # none: it has ended

        base = peak = anonymous()
        child.stdin.write("go\n")
        child.stdin.close()
        while child.poll() is None:
            peak = max(peak, anonymous())
            time.sleep(0.003)
        assert child.returncode == 0
        return peak - base, child.stdout.read()
    finally:
        child.kill()
        child.wait()


START = "import sys, warnings; warnings.simplefilter('ignore')\n{}\nprint('ready', flush=True); sys.stdin.readline()\n"

QUANTIZE = START.format("from mixpe.cli.main import main") + "sys.exit(main(['quantize', *sys.argv[1:], '--json']))"

LOAD = START.format("import mixpe; from mixpe.lm import LlamaModel") + """
with mixpe.open(f"reference?mem_bytes={int(sys.argv[2])}") as device:
    with LlamaModel.from_pretrained(sys.argv[1], device):
        print(device.info()['mem_bytes'] - device.info()['mem_free_bytes'])
"""


@pytest.mark.parametrize("largest", BLOCKS)
def test_quantize_takes_less_than_twice_the_largest_tensor(small, tmp_path, largest):
    size    = write_file(tmp_path/"m.gguf", small, largest)
    peak, _ = peak_bytes(QUANTIZE, tmp_path/"m.gguf", tmp_path/"out")
    print(f"{largest}: {peak/size:.2f} of {size >> 20} MiB")
    assert peak < 2*size
    for file in (tmp_path/"out").iterdir():
        file.unlink()


@pytest.mark.parametrize("largest", ["Q4_1", "Q4_K", "Q8_0"])
def test_loading_takes_less_than_the_file_and_a_third(small, tmp_path, largest):
    """Beside the memory of the device, which the reference has in the same process."""
    write_file(tmp_path/"m.gguf", small, largest)
    size = (tmp_path/"m.gguf").stat().st_size
    room = min(-(-2*size//4096)*4096 + (64 << 20), 0xB0000000 - 0x40000000)
    peak, printed = peak_bytes(LOAD, tmp_path/"m.gguf", room)
    peak -= int(printed)
    print(f"{largest}: {peak/size:.2f} of {size >> 20} MiB")
    assert peak < 1.3*size
