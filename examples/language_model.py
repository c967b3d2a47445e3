# SPDX-License-Identifier: BSD-2-Clause
"""A language model whose layers are on a device: python examples/language_model.py [URL [MODEL]].

MODEL is a folder, a file or a name (`mixpe models`); by default the packaged one, which writes Python.
"""

import sys

import mixpe

url, model = (sys.argv[1:] + ["reference", None][len(sys.argv) - 1:])[:2]

with mixpe.LlamaModel.from_pretrained(model, device=url) as llama:
    print(llama)
    if llama.config.vocab_size == 256:
        text = llama.generate("def read(path):\n", 64, temperature=0.5, seed=1)
        pieces = (piece.decode("latin-1") for piece in text)
    else:
        pieces = text = llama.answer([{"role": "user", "content": "What is the capital of France?"}], 24)
    for piece in pieces:
        print(piece, end="", flush=True)
    cost = text.statistics().decode
cycles = cost.counters["cycles"]//cost.tokens
print(f"\n\n{cost.tokens/cost.seconds:.1f} tokens a second, {cycles} device cycles a token")
