# SPDX-License-Identifier: BSD-2-Clause
"""A session's memory: what a token passes through, and the cache of its keys and values."""

from mixpe.program.linear import image_bytes, result_bytes, whole_blocks
from mixpe.program.place import SESSION, Arena
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.program.records import TOP

CONTEXT_STEP = 64
HEADS_STEP   = 16
TOP_BYTES    = 8*TOP  # of a row's largest logits, in a batch


def aligned_heads(heads):
    """Heads whose exponents fill whole beats: a token's begin on one."""
    return -(-heads//HEADS_STEP)*HEADS_STEP


class SessionLayout(Arena):
    """Buffers by name. The first three are zero when a session begins: where k is padded, zeros stay behind a row.

    They have a row for each token of a pass, but `rows` and those from `heads` on, which are of one token.

        normed         what goes into qkv, gate_up and the head;  mixed into o;  gated into down
        x.0, x.1       the residual stream, in turns
        rows           eight rows of the embedding, or a part of them
        codes          activations of a GEMM
        results        of one, without their unit
        biased         results with their bias
        queries, exponents
        heads, even    heads of q or k that are measured, and behind their norm
        turned, turned_keys   by the angles of their position
        logits, top                                                    of a batch for each row
        rows_of_logits                                                 of a batch: (rows, channels in whole blocks)
        keys.i, values.i, scales.i   INT8 (c, context, d) twice, and bfloat16 (2, c, context), of layer i

    Parameters
    ----------
    architecture : Architecture
    config : Config
    matrices : dict of job → list of Matrix
    wide : bool
    context : int
        Positions, a multiple of 64.
    embed_rows : int
        One-hot rows of a job.
    rows : int
        Most tokens of a pass.
    batch : bool
        Each of them is of another session: what is kept here is no cache, but logits of all.

    Attributes
    ----------
    zero_bytes : int
        From the start, that must be zero when a session begins.
    cache_start : int
        Where the cache begins: from there to the end.
    """

    def __init__(self, architecture, config, matrices, wide, context, embed_rows, rows, batch=False):
        super().__init__(SESSION)
        a = architecture
        self.context = context
        heads, c, d  = a.num_attention_heads, a.num_key_value_heads, a.head_dim

        def row(name, width, suffixes):
            widths = [one.slab.k for job, some in matrices.items() for one in some if job.endswith(suffixes)]
            self.add(name, 4*max(rows*width, *widths))

        every = [one for some in matrices.values() for one in some]
        row("normed", a.hidden_size, ("qkv", "gate_up", "lm_head"))
        row("mixed", heads*d, (".o",))
        row("gated", a.intermediate_size, ("down",))
        self.zero_bytes = self.size
        for index in range(2):
            self.add(f"x.{index}", 4*rows*a.hidden_size)
        self.add("rows", 4*CHANNELS_PER_BLOCK*embed_rows)
        self.add("codes", max(image_bytes(one, config, wide, rows) for one in every))
        widest = max(2*a.intermediate_size, (heads + 2*c)*d, a.hidden_size)
        self.add("results", result_bytes(rows*widest, config))
        if rows > 1 or a.qkv_bias or a.o_bias or a.mlp_bias or a.qk_norm:
            self.add("biased", 4*rows*widest)
        self.add("queries", 2*rows*heads*d)
        self.add("exponents", 4*rows*aligned_heads(heads))
        if a.qk_norm:
            self.add("heads", 4*heads*d)
            self.add("even", 4*heads*d)
        self.add("turned", 4*heads*d)
        self.add("turned_keys", 4*c*d)
        if batch:
            channels = whole_blocks(a.vocab_size)
            self.add("logits", result_bytes(rows*channels, config))
            self.add("rows_of_logits", 4*rows*channels)
        else:
            self.add("logits", result_bytes(a.vocab_size, config))
        self.add("top", rows*TOP_BYTES if batch else 8*min(TOP, a.vocab_size))
        self.cache_start = self.size
        for layer in range(0 if batch else a.num_hidden_layers):
            self.add(f"keys.{layer}", c*context*d)
            self.add(f"values.{layer}", c*context*d)
            self.add(f"scales.{layer}", 4*c*context)

    @property
    def cache_bytes(self):
        """Of the cache alone."""
        return self.size - self.cache_start

    def cache(self, layer):
        """Keys, values, scales of keys, scales of values of a layer: four Place."""
        scales = self[f"scales.{layer}"]
        half   = scales.size//2
        return self[f"keys.{layer}"], self[f"values.{layer}"], scales.part(0, half), scales.part(half)
