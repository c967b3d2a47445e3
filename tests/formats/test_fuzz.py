# SPDX-License-Identifier: BSD-2-Clause
"""Fuzzers of the readers: valid files with bytes or JSON values changed are read, or refused with a typed error.

Nothing else may happen: no other exception, no warning, no hang, no allocation that the file does not justify. Here
each runs for seconds with the same examples every time; `make fuzz` runs each for ten minutes with new ones
(MIXPE_FUZZ_SECONDS).
"""

import json
import math
import os
import resource
import shutil
import struct
import time
import warnings
from itertools import count

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mixpe.errors import MixpeError
from mixpe.formats import safetensors
from mixpe.formats.convert import exact_matrix
from mixpe.formats.matrixfile import save_matrices
from mixpe.formats.open import open_checkpoint
from mixpe.formats.requantize import requantize
from mixpe.quant.matrix import Int4Matrix
from mixpe.quant.quantize import quantize

SECONDS   = float(os.environ.get("MIXPE_FUZZ_SECONDS", "0"))
EXAMPLES  = 120         # of the short form
LIMIT_S   = 5           # of CPU time, one example
LIMIT_MEM = 256 << 20   # bytes over what the process has when it begins

NUMBERS = [0, 1, 2, 3, 7, 8, 31, 32, 33, 64, 127, 128, 255, 256, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
    2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # of a GGUF value's type
SCALARS = [*NUMBERS, -1, -2, 10**400, 0.0, -1.5, 1e308, 5e-324, None, True, False, "", "gptq", "x" * 300, [], {}, [[]],
    ["F32"], {"a": {}}, "F32", "BF16", "../x", [1] * 70]
TREES   = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=4)
VALUES  = st.sampled_from(SCALARS) | TREES


def edit_bytes(data, content):
    """One change of a file's bytes; places near the beginning, where headers are, are likelier than others."""
    size = len(content)
    if size < 8:
        return content
    place = data.draw(st.integers(4, min(size - 1, data.draw(st.sampled_from([64, 4096, size])))))
    kind  = data.draw(st.sampled_from(["byte", "number", "number", "cut", "remove", "insert", "repeat"]))
    if kind == "cut":
        return content[:place]
    if kind == "byte":
        return content[:place] + bytes([data.draw(st.integers(0, 255))]) + content[place + 1:]
    if kind == "number":
        width = data.draw(st.sampled_from([4, 8]))
        place = place//4*4
        value = data.draw(st.sampled_from(NUMBERS)) % (1 << 8*width)
        return content[:place] + value.to_bytes(width, "little") + content[place + width:]
    length = data.draw(st.integers(1, 40))
    if kind == "remove":
        return content[:place] + content[place + length:]
    if kind == "insert":
        return content[:place] + data.draw(st.binary(max_size=40)) + content[place:]
    return content[:place + length] + content[place:]


def gguf_parts(content):
    """Pairs (key, type, value's bytes), tensors (name, dims, type, offset) and data of a valid file."""
    position = 24

    def take(code):
        nonlocal position
        values = struct.unpack_from(f"<{code}", content, position)
        position += struct.calcsize(f"<{code}")
        return values if len(values) > 1 else values[0]

    def skip(kind):
        nonlocal position
        if kind == 8:
            length = take("Q")
            position += length
        elif kind == 9:
            element, length = take("I"), take("Q")
            if length > len(content):
                raise ValueError("an edit before this one has changed a length")
            for _ in range(length):
                skip(element)
        else:
            position += SCALAR_BYTES[kind]

    def name():
        return take(f"{take('Q')}s")

    tensor_count, pair_count = struct.unpack_from("<QQ", content, 8)
    if max(tensor_count, pair_count) > len(content):
        raise ValueError("an edit before this one has changed a count")
    pairs, tensors = [], []
    for _ in range(pair_count):
        key, kind = name(), take("I")
        begin = position
        skip(kind)
        pairs.append((key, kind, content[begin:position]))
    for _ in range(tensor_count):
        title, axes = name(), take("I")
        dims = [take("q") for _ in range(axes)]
        tensors.append((title, dims, take("I"), take("Q")))
    return pairs, tensors, content[-(-position//32)*32:]


def edit_gguf(data, parts, raw_gguf):
    """One change of one field, the rest of the file as it must then be."""
    pairs, tensors, values = parts
    number = data.draw(st.sampled_from([*NUMBERS[:-2], 48, 96, 12]))
    what   = data.draw(st.sampled_from(["value", "value", "value", "type", "key", "drop", "twice", "alignment", "dims",
        "dims", "kind", "offset", "title", "gone", "again", "counts", "version", "data", "length"]))
    if what in ("value", "type", "key", "drop", "twice"):
        place = data.draw(st.integers(0, len(pairs) - 1))
        key, kind, value = pairs[place]
        if what == "value":
            kind  = data.draw(st.sampled_from([kind, kind, 4, 5, 6, 7, 8, 9, 10, 11]))
            value = data.draw(st.sampled_from([number.to_bytes(8, "little"), struct.pack("<f", math.inf),
                struct.pack("<f", math.nan), value[::-1], struct.pack("<IQ", 4, number),
                struct.pack("<IQ2I", 4, 2, 4, 4), struct.pack("<IQ2I", 5, 2, 1, 2)]))
            width = SCALAR_BYTES.get(kind, len(value))
            pairs[place] = key, kind, value[:width].ljust(width, b"\0")
        elif what == "type":
            pairs[place] = key, data.draw(st.integers(0, 14)), value
        elif what == "key":
            pairs[place] = pairs[data.draw(st.integers(0, len(pairs) - 1))][0] + b"x", kind, value
        elif what == "drop":
            del pairs[place]
        else:
            pairs.append(pairs[place])
    elif what == "alignment":
        pairs.append((b"general.alignment", 4, (number % 2**32).to_bytes(4, "little")))
    elif what in ("dims", "kind", "offset", "title", "gone", "again"):
        place = data.draw(st.integers(0, len(tensors) - 1))
        title, dims, kind, offset = tensors[place]
        if what == "dims":
            axis = data.draw(st.integers(0, len(dims)))
            dims = [*dims[:axis], number, *dims[axis + data.draw(st.integers(0, 1)):]]
        elif what == "kind":
            kind = data.draw(st.integers(0, 42))
        elif what == "offset":
            offset = number
        elif what == "title":
            title = data.draw(st.sampled_from([tensors[data.draw(st.integers(0, len(tensors) - 1))][0], b"",
                b"rope_freqs.weight", b"blk.0.attn_q.bias", b"output.weight", b"blk.99.attn_q.weight", b"blk.0.x"]))
        tensors[place] = title, dims, kind, offset
        if what == "gone":
            del tensors[place]
        elif what == "again":
            tensors.append(tensors[place])
    elif what == "data":
        values = edit_bytes(data, values)
    elif what == "length":
        values = values[:-data.draw(st.sampled_from([1, 4, 33, 1000, len(values)//4, len(values)//2, len(values)]))]
    counts = (data.draw(st.sampled_from(NUMBERS)), len(pairs)) if what == "counts" else None
    return raw_gguf(pairs, tensors, values, number % 2**32 if what == "version" else 3, counts)


def edit_json(data, value):
    """One change somewhere in a JSON value: another value, a key more or less."""
    if isinstance(value, dict) and value:
        key  = data.draw(st.sampled_from(sorted(value)))
        kind = data.draw(st.sampled_from(["inside", "inside", "inside", "replace", "remove", "rename"]))
        rest = {name: item for name, item in value.items() if name != key}
        if kind == "remove":
            return rest
        if kind == "rename":
            return rest | {data.draw(st.text(max_size=8)): value[key]}
        return value | {key: edit_json(data, value[key]) if kind == "inside" else data.draw(VALUES)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], edit_json(data, value[place]), *value[place + 1:]]
    return data.draw(VALUES)


def edit_file(data, name, content, small):
    """One change of a file: of its JSON, of a safetensors header's JSON, of a GGUF field, or of its bytes."""
    if data.draw(st.integers(0, 5)) == 5:
        return edit_bytes(data, content)
    try:
        if name.endswith(".json"):
            value = json.loads(content)
        elif name.endswith(".safetensors"):
            length = int.from_bytes(content[:8], "little")
            value  = json.loads(content[8:8 + length])
        elif name.endswith(".gguf"):
            value = gguf_parts(content)
        else:
            return edit_bytes(data, content)
    except (ValueError, struct.error, KeyError):
        return edit_bytes(data, content)  # an edit before this one has left nothing that can be parsed
    if name.endswith(".gguf"):
        return edit_gguf(data, value, small.raw_gguf) if value[0] and value[1] else edit_bytes(data, content)
    text = json.dumps(edit_json(data, value)).encode()
    if name.endswith(".json"):
        return text
    return len(text).to_bytes(8, "little") + text + content[8 + length:]


def read_all(path):
    """Open a checkpoint and use everything in it."""
    found = open_checkpoint(path)
    for tensor in found.tensors.values():
        try:
            tensor.dequantize()
            tensor.dequantize(slice(1, 3))
            if len(tensor.shape) == 2:
                exact_matrix(tensor) if tensor.form is not None else requantize(tensor)
        except MixpeError:
            pass
    for key in found.tokenizer.pairs or ():
        try:
            found.tokenizer.pairs[key]
        except MixpeError:
            pass
    for layer in range(found.architecture.num_hidden_layers):
        found.architecture.window(layer)
    found.architecture.rope.frequencies(found.architecture.head_dim)


def gguf_file(folder, small, kinds, wide=False, family="llama"):
    architecture = small.architecture(family, **(small.wide if wide else {}))
    kinds = kinds.split()
    names = iter(range(10**6))
    small.write_gguf(folder/"model.gguf", architecture, small.weights(architecture),
        lambda name: kinds[next(names) % len(kinds)], [("add_token_list", ["a", "bc", "é"]), ("add_bos_token_id", 1),
        ("add_eos_token_id", 2), ("add_add_bos_token", True), ("add_array", "x.y", [1, 2, 3])])
    return folder/"model.gguf"


def llama2c_file(folder, small, version):
    architecture = small.architecture(tie_word_embeddings=True)
    small.write_llama2c(folder/"model.bin", architecture, small.weights(architecture), version, 32)
    return folder/"model.bin"


def plain_folder(folder, small, family):
    architecture = small.architecture(family)
    return small.write_folder(folder, small.config(architecture, rope_scaling={"rope_type": "yarn", "factor": 2.0}),
        small.weights(architecture), 2, generation_config={"eos_token_id": [2, 3], "temperature": 0.5})


def quantised_folder(folder, small, method, **options):
    small.write_quantised(folder, method, small.architecture(num_hidden_layers=1), **options)
    return folder


def our_folder(folder, small):
    """Matrices of every form."""
    architecture = small.architecture(num_hidden_layers=1)
    weights  = small.weights(architecture)
    matrices = {name: quantize(values, 32) for name, values in weights.items() if values.ndim == 2}
    for name, entries, factors in (("q_proj", 2, None), ("k_proj", 1, np.full((32, 8, 2), 63, np.uint8))):
        name    = f"model.layers.0.self_attn.{name}.weight"
        matrix  = matrices[name]
        halves  = np.ones((matrix.n, entries), np.float16)
        matrices[name] = Int4Matrix.from_parts(matrix.q, halves, group_size=32, minima=-halves, factors=factors)
    small.write_folder(folder, small.config(architecture), {})
    save_matrices(folder/"model.safetensors", matrices, {n: w for n, w in weights.items() if n not in matrices})
    return folder


def packaged_safetensors(folder, small):
    """The strict reader alone."""
    safetensors.save(folder/"model.safetensors", {"a": small.weights(small.architecture())["lm_head.weight"]},
        {"format": "pt"})
    return folder/"model.safetensors"


READERS = {
    "gguf":               lambda folder, small: gguf_file(folder, small, "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 F16 BF16 F32"),
    "gguf-superblocks":   lambda folder, small: gguf_file(folder, small, "Q4_K Q5_K Q6_K Q3_K Q2_K", True),
    "gguf-qwen2":         lambda folder, small: gguf_file(folder, small, "F16", family="qwen2"),
    "llama2.c":           lambda folder, small: llama2c_file(folder, small, 0),
    "llama2.c-v1":        lambda folder, small: llama2c_file(folder, small, 1),
    "llama2.c-v2":        lambda folder, small: llama2c_file(folder, small, 2),
    "safetensors":        packaged_safetensors,
    "huggingface":        lambda folder, small: plain_folder(folder, small, "llama"),
    "huggingface-qwen3":  lambda folder, small: plain_folder(folder, small, "qwen3"),
    "gptq":               lambda folder, small: quantised_folder(folder, small, "gptq", act_order=True),
    "awq":                lambda folder, small: quantised_folder(folder, small, "awq"),
    "compressed-tensors": lambda folder, small: quantised_folder(folder, small, "compressed-tensors"),
    "mixpe":              our_folder,
}


@pytest.fixture
def limited():
    """Address space for little more than the process has now, and warnings as errors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0])*resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_MEM, hard))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("reader", READERS)
def test_a_changed_file_is_read_or_refused(tmp_path, small, limited, reader):
    (tmp_path/"good").mkdir()
    good = READERS[reader](tmp_path/"good", small)
    read = safetensors.load if reader == "safetensors" else read_all
    read(good)
    files = {path.name: path.read_bytes() for path in (tmp_path/"good").iterdir()}
    cases = count()

    def one(data):
        folder = tmp_path/str(next(cases))  # never over a file that may still be mapped
        folder.mkdir()
        changed = dict(files)
        for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 3]))):
            name = data.draw(st.sampled_from(sorted(files)))
            changed[name] = edit_file(data, name, changed[name], small)
        for name, content in changed.items():
            (folder/name).write_bytes(content)
        begin = time.process_time()
        try:
            read(folder/good.name if good.is_file() else folder)
        except MixpeError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000, folder
        except Exception as error:
            raise AssertionError(f"{folder} gives {type(error).__name__}: {error}") from error
        assert time.process_time() - begin < LIMIT_S, folder
        shutil.rmtree(folder)

    options = dict(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    if not SECONDS:
        settings(max_examples=EXAMPLES, derandomize=True, **options)(given(st.data())(one))()
        return
    end = time.monotonic() + SECONDS
    for number in count(time.time_ns()):
        if time.monotonic() > end:
            return
        # without shrinking, which may take minutes: the files of a failure stay where the message says
        seed(number)(settings(max_examples=500, phases=[Phase.generate], **options)(given(st.data())(one)))()
