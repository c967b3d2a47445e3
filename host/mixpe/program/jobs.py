# SPDX-License-Identifier: BSD-2-Clause
"""A model's linear layers as jobs: what shares an input is one matrix, joined along n."""

JOBS = {  # job: tensors joined along n, in order
    "qkv":     ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o":       ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down":    ("mlp.down_proj",),
}
HEAD = "lm_head"  # a job of its own


def job_names(config):
    """Names of all jobs of a model, in the order in which a token passes them."""
    return [f"layers.{i}.{job}" for i in range(config.num_hidden_layers) for job in JOBS] + [HEAD]
