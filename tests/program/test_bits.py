# SPDX-License-Identifier: BSD-2-Clause
"""A program on the reference device against `LlamaModel` in the decoder's arithmetic: every number, to the bit."""

from collections import Counter

import numpy as np
import pytest

from mixpe.lm import LlamaModel
from mixpe.lm.decoder import DecoderArithmetic
from mixpe_gateware.contract.decoder.float32 import raised
from mixpe_gateware.contract.descriptor import Opcode
from mixpe_gateware.contract.program.execute import ProgramRunner
from mixpe_gateware.contract.program.records import HAS_B, OP, Function

HOST = {Function.NORM: "norm", Function.ROTATE: "rotate", Function.SILU: "gate", Function.ADD: "add"}


class Seen:
    """What the device's records and the host's functions gave, by name."""

    def __init__(self, monkeypatch):
        self.device, self.host = {}, {}
        execute = ProgramRunner._execute
        seen    = self

        def noted(runner, words, run, *where):
            code, memory = execute(runner, words, run, *where), where[-1]
            seen._note_record(runner, words, run, memory)
            return code

        monkeypatch.setattr(ProgramRunner, "_execute", noted)
        for name in (*HOST.values(), "attention"):
            function = getattr(DecoderArithmetic, name)

            def hooked(*args, name=name, function=function, **options):
                result = function(*args, **options)
                seen._note(seen.host, name, result)
                return result

            monkeypatch.setattr(DecoderArithmetic, name, staticmethod(hooked))

    @staticmethod
    def _note(where, name, result):
        where.setdefault(name, Counter())[np.ascontiguousarray(result).tobytes()] += 1

    def _note_record(self, runner, words, run, memory):
        opcode, function, options = (OP.field(name).of(words[0]) for name in ("opcode", "function", "options"))
        out = words[3] + run["state_addr"]
        if opcode == Opcode.ATTENTION:
            self._note(self.device, "attention", memory.array(out, np.float32, words[8]//4))
        elif opcode == Opcode.GEMM and words[2] + run["state_addr"] < memory.size and words[7] & 64:
            self.last = memory.array(out, np.float32, words[4])
        elif opcode == Opcode.VECTOR and function in HOST and (function != Function.ADD or options & HAS_B):
            self._note(self.device, HOST[function], memory.array(out, np.float32, words[4]*words[6]))
        self.units = runner._state.units[:1].copy()


@pytest.mark.parametrize("activations", ["a16", "a8g"])
@pytest.mark.parametrize("name", ["smollm2", "tinyllama", "qwen2.5", "qwen3", "mistral", "biases", "llama3"])
def test_every_number_is_the_models(monkeypatch, folder, device, name, activations):
    with LlamaModel.from_pretrained(folder(name), device, group_size=32, activations=activations,
                                    decoder="device") as model:
        seen   = Seen(monkeypatch)
        tokens = np.random.default_rng(1).integers(0, model.config.vocab_size, 12)
        cache  = model.new_cache()
        with model.session() as session:
            for token in tokens:
                logits = model.forward([[token]], cache)[0, 0]
                choice, = session.go_on(token, 1, listed=True)
                assert seen.device == seen.host and len(seen.host) == 5
                np.testing.assert_array_equal(raised(seen.last, seen.units), logits)
                top = np.argsort(-logits, kind="stable")[:64]
                found, values = session.top()
                np.testing.assert_array_equal(found, top)
                np.testing.assert_array_equal(values, logits[top])
                assert choice == top[0]
            assert session.tokens == tokens.tolist()
            compare_caches(model, session, cache)


def compare_caches(model, session, cache):
    keys, key_scales, values, value_scales = cache._arrays
    c, d, length = model.config.num_key_value_heads, model.config.head_dim, cache.length
    for layer in range(model.config.num_hidden_layers):
        for kind, codes in (("keys", keys), ("values", values)):
            found = session._region.read(f"{kind}.{layer}").view(np.int8).reshape(c, -1, d)[:, :length]
            np.testing.assert_array_equal(found, codes[layer, 0, :, :length])
        found = session._region.read(f"scales.{layer}").view("<u2").reshape(2, c, -1)[:, :, :length]
        np.testing.assert_array_equal(found, np.stack([key_scales, value_scales])[:, layer, 0, :, :length])


@pytest.mark.parametrize("name", ["qwen2.5", "mistral"])
def test_a_prompt_and_what_follows(folder, device, name):
    with LlamaModel.from_pretrained(folder(name), device, group_size=32, decoder="device") as model:
        prompt = np.random.default_rng(2).integers(0, model.config.vocab_size, 20)
        made   = list(model.generate_tokens(prompt, 30))
        logits = model.logits(np.array([*prompt, *made[:-1]]))
        assert made == logits[19:].argmax(axis=1).tolist()
        cache  = model.new_cache()
        model.forward([[*prompt, *made[:-1]]], cache)
        for cut in (1, 7, 19):
            with model.session() as session:
                session.read(prompt[:cut])
                assert session.read(prompt[cut:]) == made[0]
                rest = session.go_on(made[0], 29)
                assert rest == made[1:] and session.tokens == [*prompt, *made[:-1]]
                compare_caches(model, session, cache)
        with model.session() as session:
            parts = [session.read(prompt)]
            while len(parts) < 30:
                parts += session.go_on(parts[-1], min(1 + len(parts) % 4, 30 - len(parts)))
            assert parts == made
            compare_caches(model, session, cache)


def test_the_packaged_model():
    from mixpe.devices import open_device
    with open_device("reference", decoder=True) as device, LlamaModel.from_pretrained(None, device) as model:
        text   = b"".join(model.generate("class Tree:\n", 24))
        tokens = np.frombuffer(b"class Tree:\n" + text, np.uint8)
        assert model.logits(tokens)[11:-1].argmax(axis=1).tolist() == list(text)
        # What it costs not to have the embedding's own numbers.
        own = model.in_arithmetic("decoder")
        own._decoder = None
        near = np.abs(own.logits(tokens) - model.logits(tokens)).max()
        assert 0 < near < 0.5
