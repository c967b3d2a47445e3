# SPDX-License-Identifier: BSD-2-Clause
"""What the small files of a model's folder say about its tokens.

Read are tokenizer_config.json, special_tokens_map.json, added_tokens.json, generation_config.json, config.json and
chat_template.jinja; each may be absent. What counts is what `transformers` goes by: the folder's own setting, else that
of its tokenizer class.
"""

from dataclasses import dataclass, field

from mixpe.errors import ModelError
from mixpe.formats.mapping import read_bytes, read_json

_LLAMA_CLASSES = ("LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast")
_LLAMA_MODELS  = ("llama", "mistral")  # whose default class is LlamaTokenizerFast
_NAMED         = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Settings:
    """Settings of one folder.

    Parameters
    ----------
    names : dict of str → str
        bos_token, eos_token and their like, by these keys.
    added : dict of str → (int or None, bool)
        Tokens beside the vocabulary: text → id, if one is given, and whether it is special.
    eos_ids : frozenset of int
        Those that config.json and generation_config.json name.
    add_bos, add_eos : bool or None
        Whether a text gets one; None: the tokenizer's own file decides.
    add_prefix_space : bool
        A text begins with a space.
    legacy : bool
        A space is put after special tokens, too.
    templates : dict of str → str
        Chat templates by name; the usual one is "default".
    """

    names:            dict = field(default_factory=dict)
    added:            dict = field(default_factory=dict)
    eos_ids:          frozenset = frozenset()
    add_bos:          bool | None = None
    add_eos:          bool | None = None
    add_prefix_space: bool = False
    legacy:           bool = True
    templates:        dict = field(default_factory=dict)


def read(folder):
    """Settings of a model's folder.

    Raises
    ------
    ModelError
        A file is damaged, or a key has a value of another kind.
    """
    tokens  = _object(folder/"tokenizer_config.json")
    special = _object(folder/"special_tokens_map.json")
    model   = _object(folder/"config.json")
    making  = _object(folder/"generation_config.json")
    source  = folder/"tokenizer_config.json"
    llama   = (tokens.get("tokenizer_class") in _LLAMA_CLASSES if tokens.get("tokenizer_class")
               else model.get("model_type") in _LLAMA_MODELS)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"} if llama else {}
    for key in _NAMED:
        for values, name in ((special, folder/"special_tokens_map.json"), (tokens, source)):
            if values.get(key) is not None:
                names[key] = _text(values[key], key, name)
    return Settings(
        names            = names,
        added            = _added(folder, tokens, special),
        eos_ids          = _ids(model, folder/"config.json") | _ids(making, folder/"generation_config.json"),
        add_bos          = _flag(tokens, "add_bos_token", True, source) if llama else None,
        add_eos          = _flag(tokens, "add_eos_token", False, source) if llama else None,
        add_prefix_space = _flag(tokens, "add_prefix_space", False, source),
        legacy           = _flag(tokens, "legacy", True, source),
        templates        = _templates(folder, tokens),
    )


def _object(path):
    return read_json(path) if path.exists() else {}


def _text(value, key, source):
    """A token is written as its text or as an object with its text."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise ModelError(f"{source} must have {key} as a text, not {value!r}")
    return text


def _flag(values, key, default, source):
    value = values.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ModelError(f"{source} must have {key} as true or false, not {value!r}")
    return value


def _ids(values, source):
    """``eos_token_id``: one number, a list of them, or nothing."""
    value = values.get("eos_token_id")
    found = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(token) is int and token >= 0 for token in found):
        raise ModelError(f"{source} must have eos_token_id as whole numbers from 0, not {value!r}")
    return frozenset(found)


def _added(folder, tokens, special):
    added = {}
    for text, token in _object(folder/"added_tokens.json").items():
        if type(token) is not int or token < 0:
            raise ModelError(f"{folder/'added_tokens.json'}: {text!r} has the id {token!r}, not a whole number from 0")
        added[text] = token, False
    source, entries = folder/"tokenizer_config.json", tokens.get("added_tokens_decoder") or {}
    if not isinstance(entries, dict):
        raise ModelError(f"{source} must have added_tokens_decoder as an object, not {type(entries).__name__}")
    for token, entry in entries.items():
        if not (token.isdecimal() and len(token) < 10 and isinstance(entry, dict)):
            raise ModelError(f"{source}: added_tokens_decoder must map ids to objects, not {token!r} to {entry!r}")
        added[_text(entry, token, source)] = int(token), _flag(entry, "special", False, source)
    more = special.get("additional_special_tokens") or tokens.get("additional_special_tokens") or []
    if not isinstance(more, list):
        raise ModelError(f"{source} must have additional_special_tokens as a list, not {type(more).__name__}")
    for value in more:
        text = _text(value, "additional_special_tokens", source)
        added[text] = added.get(text, (None,))[0], True
    return added


def _templates(folder, tokens):
    file = folder/"chat_template.jinja"
    if file.exists():
        try:
            return {"default": read_bytes(file).decode()}
        except UnicodeDecodeError as error:
            raise ModelError(f"{file} is not UTF-8: {error}") from None
    source, found = folder/"tokenizer_config.json", tokens.get("chat_template")
    if found is None:
        return {}
    if isinstance(found, str):
        return {"default": found}
    try:
        templates = {entry["name"]: entry["template"] for entry in found}
    except (TypeError, KeyError):
        templates = {None: None}
    if not all(isinstance(text, str) for pair in templates.items() for text in pair):
        raise ModelError(f"{source} must have chat_template as a text or a list of objects with name and template")
    return templates
