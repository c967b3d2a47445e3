# SPDX-License-Identifier: BSD-2-Clause
"""Finding a tokenizer by what is there, the small files beside it, and missing libraries."""

import json
import subprocess
import sys

import pytest

from mixpe.errors import ModelError, ToolError
from mixpe.text import extras, open_tokenizer, settings


def test_the_order_of_files(folders, tmp_path, llama_model, messages):
    (tmp_path/"tokenizer.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="tokenizer.bin has 0 pieces"):
        open_tokenizer(tmp_path)
    (tmp_path/"tokenizer.model").write_bytes(llama_model)
    assert open_tokenizer(tmp_path).kind == "tokenizer.model"
    (tmp_path/"tokenizer.json").write_bytes((folders["smollm"]/"tokenizer.json").read_bytes())
    assert open_tokenizer(tmp_path).kind == "tokenizer.json (BPE)"
    assert open_tokenizer(tmp_path/"tokenizer.model").kind == "tokenizer.model"
    assert open_tokenizer(tmp_path).chat is None
    (tmp_path/"chat_template.jinja").write_text("{{ messages | length }} é", encoding="utf-8")
    assert open_tokenizer(tmp_path/"tokenizer.json").chat.render(messages) == "3 é"


@pytest.mark.parametrize("name, message", [
    ("vocab.json", "vocab.json, which is not supported: .*save_pretrained"), ("tekken.json", "tekken.json"),
    ("vocab.txt", "WordPiece"), ("model.safetensors", "has no tokenizer: tokenizer.json, tokenizer.model or"),
])
def test_other_files_are_refused_by_name(tmp_path, name, message):
    (tmp_path/name).write_text("")
    with pytest.raises(ModelError, match=message):
        open_tokenizer(tmp_path)
    with pytest.raises(ModelError, match="is no tokenizer|refused|is not JSON"):
        open_tokenizer(tmp_path/name)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        open_tokenizer(tmp_path/"tokenizer.model")
    (tmp_path/"tokenizer.json").mkdir()
    with pytest.raises(ModelError, match="has no tokenizer"):
        open_tokenizer(tmp_path)


@pytest.mark.parametrize("library, call", [
    ("tokenizers", "open_tokenizer(sys.argv[1])"),
    ("sentencepiece", "open_tokenizer(sys.argv[1] + '/tokenizer.model')"),
    ("tokenizers", "gguf.read(json.loads(sys.argv[2]))"),
    ("jinja2", "ChatTemplate({'default': ''}).render([])"),
])
def test_a_missing_library_is_named_with_what_installs_it(folders, tmp_path, llama_model, library, call):
    (tmp_path/"tokenizer.model").write_bytes(llama_model)
    (tmp_path/"tokenizer.json").write_bytes((folders["smollm"]/"tokenizer.json").read_bytes())
    header = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": []}
    code = (f"import json, sys; sys.modules[{library!r}] = None\n"
            "from mixpe.errors import ToolError; from mixpe.text import ChatTemplate, gguf, open_tokenizer\n"
            f"try: {call}\nexcept ToolError as error: print(error)")
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path), json.dumps(header)], capture_output=True,
                         text=True, timeout=120, check=False)
    assert f"needs the Python package {library}: pip install 'mixpe[text]'" in run.stdout, run.stderr


def test_the_libraries_are_loaded_only_when_needed():
    code = "import mixpe.text, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not {"tokenizers", "sentencepiece", "jinja2", "huggingface_hub"} & set(run.stdout.split())
    with pytest.raises(ToolError, match="nowhere"):
        extras.load("nowhere", "this test")


@pytest.mark.parametrize("name, values, message", [
    ("tokenizer_config.json",   {"bos_token": 5},                                 "bos_token as a text, not 5"),
    ("tokenizer_config.json",   {"eos_token": {"content": [1]}},                  "eos_token as a text"),
    ("tokenizer_config.json",   {"unk_token": ""},                                "unk_token as a text"),
    ("tokenizer_config.json",   {"add_prefix_space": "no"},                       "add_prefix_space as true or false"),
    ("tokenizer_config.json",   {"legacy": 1},                                    "legacy as true or false"),
    ("tokenizer_config.json",   {"tokenizer_class": "LlamaTokenizer", "add_bos_token": []}, "add_bos_token as true"),
    ("tokenizer_config.json",   {"chat_template": 5},                             "chat_template as a text or a list"),
    ("tokenizer_config.json",   {"chat_template": [{"name": "default"}]},         "chat_template as a text or a list"),
    ("tokenizer_config.json",   {"chat_template": [{"name": [], "template": 1}]}, "chat_template as a text or a list"),
    ("tokenizer_config.json",   {"added_tokens_decoder": []},                     None),
    ("tokenizer_config.json",   {"added_tokens_decoder": [1]},                    "added_tokens_decoder as an object"),
    ("tokenizer_config.json",   {"added_tokens_decoder": {"-1": {}}},             "must map ids to objects"),
    ("tokenizer_config.json",   {"added_tokens_decoder": {"9" * 99: {}}},         "must map ids to objects"),
    ("tokenizer_config.json",   {"added_tokens_decoder": {"1": {"content": 1}}},  "must have 1 as a text"),
    ("tokenizer_config.json",   {"additional_special_tokens": {"a": 1}},          "special_tokens as a list"),
    ("tokenizer_config.json",   {"additional_special_tokens": [[]]},              "special_tokens as a text"),
    ("special_tokens_map.json", {"bos_token": [1]},                               "bos_token as a text"),
    ("config.json",             {"eos_token_id": "2"},                            "eos_token_id as whole numbers"),
    ("generation_config.json",  {"eos_token_id": [1, -1]},                        "eos_token_id as whole numbers"),
    ("generation_config.json",  {"eos_token_id": [True]},                         "eos_token_id as whole numbers"),
    ("generation_config.json",  [],                                               "must be a JSON object, not list"),
    ("added_tokens.json",       {"a": 1.5},                                       "the id 1.5"),
])
def test_settings_of_other_kinds_are_refused(tmp_path, name, values, message):
    (tmp_path/name).write_text(json.dumps(values))
    if message is None:
        settings.read(tmp_path)
        return
    with pytest.raises(ModelError, match=message):
        settings.read(tmp_path)


def test_templates_by_name(tmp_path):
    (tmp_path/"tokenizer_config.json").write_text(json.dumps({"chat_template": [
        {"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}))
    assert settings.read(tmp_path).templates == {"default": "a", "tool_use": "b"}
    (tmp_path/"chat_template.jinja").write_text("c")
    assert settings.read(tmp_path).templates == {"default": "c"}
    (tmp_path/"chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match="not UTF-8"):
        settings.read(tmp_path)
