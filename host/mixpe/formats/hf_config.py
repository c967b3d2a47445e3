# SPDX-License-Identifier: BSD-2-Clause
"""The ``config.json`` of a Hugging Face folder, in the wording of transformers 4 and of 5, as an `Architecture`.

What a configuration leaves out has the default of its class in transformers; what changes a model and is not supported
is refused by its key.
"""

import numpy as np

from mixpe.errors import ModelError
from mixpe.formats.architecture import FAMILIES, LIMITS, Architecture, whole
from mixpe.formats.brief import brief
from mixpe.formats.rope import Rope, positive, yarn_magnitude

_DEFAULTS = {  # where they are not those of Llama
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
    "qwen2":   {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28},
    "qwen3":   {"num_key_value_heads": 32, "head_dim": 128, "sliding_window": 4096, "max_window_layers": 28},
}


class _Values:
    """The keys of a configuration, with the defaults of its class."""

    def __init__(self, values, family):
        self._values = _DEFAULTS.get(family, {}) | values  # a null stands, and is not the class's default

    def get(self, key, default=None):
        value = self._values.get(key)
        return default if value is None else value

    def count(self, key, default=None):
        return whole(self.get(key, default), key, LIMITS[key])

    def flag(self, key):
        value = self.get(key, False)
        if type(value) is not bool:
            raise ModelError(f"{key} must be true or false, not {brief(value)}")
        return value


def _scaling(values):
    """Keys of the rotary positions in either wording: version 5 has them in one object, version 4 beside one."""
    merged = {"rope_theta": values.get("rope_theta", 10000.0)}
    for key in ("rope_scaling", "rope_parameters"):
        found = values.get(key, {})
        if not isinstance(found, dict):
            raise ModelError(f"{key} must be an object, not {brief(found)}")
        if any(isinstance(value, dict) for value in found.values()):
            raise ModelError(f"{key} differs from layer to layer, which is not supported")
        merged |= {name: value for name, value in found.items() if value is not None}
    kind = merged.get("rope_type", merged.get("type", "default"))
    turned = merged.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0))
    if turned != 1:
        raise ModelError(f"turns {brief(turned)} of each head; all of it must be turned")
    return kind, merged


def _rope(values, context):
    kind, scaling = _scaling(values)

    def number(key, default=None):
        return positive(scaling.get(key, default), f"{key} of the rotary positions")

    fields = {"theta": number("rope_theta")}
    if kind in ("linear", "llama3", "yarn"):
        trained = scaling.get("original_max_position_embeddings", values.get("original_max_position_embeddings"))
        if trained is not None or kind == "llama3":
            trained = whole(trained, "original_max_position_embeddings", LIMITS["max_position_embeddings"])
        elif kind == "yarn":
            trained = context
        factor = number("factor", context/trained if kind == "yarn" else None)
        fields |= {"kind": kind, "factor": factor, "trained_context": trained}
    if kind == "llama3":
        fields |= {key: number(key) for key in ("low_freq_factor", "high_freq_factor")}
    elif kind == "yarn":
        magnitude = scaling.get("attention_factor")
        if magnitude is None and scaling.get("mscale") and scaling.get("mscale_all_dim"):
            magnitude = yarn_magnitude(factor, number("mscale"))/yarn_magnitude(factor, number("mscale_all_dim"))
        fields |= {
            "beta_fast":   number("beta_fast", 32.0),
            "beta_slow":   number("beta_slow", 1.0),
            "whole_pairs": scaling.get("truncate", True) is not False,
            "magnitude":   positive(yarn_magnitude(factor) if magnitude is None else magnitude, "attention_factor"),
        }
    if "frequency_divisors" in scaling:  # ours, of GGUF's tensor
        divisors = scaling["frequency_divisors"]
        if not isinstance(divisors, list) or len(divisors) > LIMITS["head_dim"]:
            raise ModelError(f"frequency_divisors must be a list of numbers, not {brief(divisors)}")
        fields["divisors"] = np.array([positive(one, "a frequency divisor") for one in divisors], np.float32)
    if kind not in ("default", "linear", "yarn", "dynamic", "llama3"):  # dynamic changes nothing within the context
        raise ModelError(f"has rotary positions of the kind {brief(kind)}; known are default, linear, dynamic, llama3 "
                         "and yarn")
    return Rope(**fields)


def _window(values, family, layers):
    """(sliding_window, sliding_layers) of an architecture."""
    if family == "llama" or family != "mistral" and not values.flag("use_sliding_window"):
        return None, ()
    window = values.get("sliding_window")
    if window is None:
        return None, ()
    window = whole(window, "sliding_window", LIMITS["max_position_embeddings"])
    if family == "mistral":
        return window, ()
    kinds = values.get("layer_types")
    if kinds is None:
        first = whole(values.get("max_window_layers"), "max_window_layers", LIMITS["num_hidden_layers"], 0)
        return window, tuple(i >= first for i in range(layers))
    if (not isinstance(kinds, list) or len(kinds) != layers
            or not all(kind in ("full_attention", "sliding_attention") for kind in kinds)):
        raise ModelError(f"layer_types must name full_attention or sliding_attention for each of {layers} layers, not "
                         f"{brief(kinds)}")
    return window, tuple(kind == "sliding_attention" for kind in kinds)


def architecture_of(config, own_head):
    """The architecture that a ``config.json`` describes.

    Parameters
    ----------
    config : dict
    own_head : bool
        The files have a head. It counts even where the configuration says that the embedding is the head.

    Returns
    -------
    Architecture

    Raises
    ------
    ModelError
        Another class of models, an option that is not supported, a missing or impossible value.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ModelError(f"has the model_type {brief(family)}; {', '.join(FAMILIES)} can be run "
                         "(SmolLM2 and TinyLlama are llama)")
    values = _Values(config, family)
    if values.get("hidden_act", "silu") != "silu":
        raise ModelError(f"has hidden_act = {brief(values.get('hidden_act'))}; only 'silu' is supported")
    if values.get("quantization"):
        raise ModelError("is an MLX model; take the original one, or one quantised with GPTQ or AWQ")
    heads  = values.count("num_attention_heads")
    hidden = values.count("hidden_size")
    layers = values.count("num_hidden_layers")
    if values.get("head_dim") is None and hidden % heads:
        raise ModelError(f"has {heads} heads, which do not divide its width {hidden}, and no head_dim")
    kv_heads = values.count("num_key_value_heads", heads)
    head_dim = values.count("head_dim", hidden//heads)
    context  = values.count("max_position_embeddings")
    attention_bias = values.flag("attention_bias") if family in ("llama", "qwen3") else False
    window, layers_with_it = _window(values, family, layers)
    return Architecture(
        family                  = family,
        vocab_size              = values.count("vocab_size"),
        hidden_size             = hidden,
        intermediate_size       = values.count("intermediate_size"),
        num_hidden_layers       = layers,
        num_attention_heads     = heads,
        num_key_value_heads     = kv_heads,
        head_dim                = head_dim,
        max_position_embeddings = context,
        rms_norm_eps            = positive(values.get("rms_norm_eps", 1e-6), "rms_norm_eps"),
        rope                    = _rope(values, context),
        tie_word_embeddings     = values.flag("tie_word_embeddings") and not own_head,
        qkv_bias                = family == "qwen2" or attention_bias,
        o_bias                  = attention_bias,
        mlp_bias                = family == "llama" and values.flag("mlp_bias"),
        qk_norm                 = family == "qwen3",
        sliding_window          = window,
        sliding_layers          = layers_with_it,
    )


def _scaling_of(rope):
    scaling = {"rope_type": rope.kind}
    if rope.kind != "default":
        scaling["factor"] = rope.factor
    if rope.trained_context is not None:
        scaling["original_max_position_embeddings"] = rope.trained_context
    if rope.kind == "llama3":
        scaling |= {"low_freq_factor": rope.low_freq_factor, "high_freq_factor": rope.high_freq_factor}
    elif rope.kind == "yarn":
        scaling |= {"beta_fast": rope.beta_fast, "beta_slow": rope.beta_slow, "attention_factor": rope.magnitude,
            "truncate": rope.whole_pairs}
    if rope.divisors is not None:
        scaling["frequency_divisors"] = [float(one) for one in rope.divisors]
    return scaling


def config_of(architecture):
    """A ``config.json`` for an architecture, which `architecture_of` reads.

    Returns
    -------
    dict

    Raises
    ------
    ModelError
        No class of models has it.
    """
    a, family = architecture, architecture.family
    if family == "llama" and a.sliding_window is not None:
        family = "mistral"
    elif family == "llama" and a.qkv_bias and not a.o_bias:
        family = "qwen2"
    values = {
        "model_type": family, "hidden_act": "silu", "attention_bias": a.o_bias, "mlp_bias": a.mlp_bias,
        "rope_theta": a.rope.theta, "rope_scaling": _scaling_of(a.rope), "sliding_window": a.sliding_window,
        "use_sliding_window": a.sliding_window is not None, "rms_norm_eps": a.rms_norm_eps,
        "tie_word_embeddings": a.tie_word_embeddings, **{key: getattr(a, key) for key in LIMITS},
    }
    if a.sliding_window is not None and family in ("qwen2", "qwen3"):
        kinds = a.sliding_layers or (True,)*a.num_hidden_layers
        values["layer_types"] = ["sliding_attention" if kind else "full_attention" for kind in kinds]
    found = architecture_of(values, not a.tie_word_embeddings)
    same  = all(getattr(found, key) == getattr(a, key) for key in
        (*LIMITS, "rms_norm_eps", "tie_word_embeddings", "qkv_bias", "o_bias", "mlp_bias", "qk_norm"))
    if not same or any(found.window(i) != a.window(i) for i in range(a.num_hidden_layers)) or not np.array_equal(
            found.rope.frequencies(a.head_dim), a.rope.frequencies(a.head_dim)):
        raise ModelError(f"a {a.family} model with these biases, windows or positions has no config.json: "
                         f"{brief(values)}")
    return values
