# SPDX-License-Identifier: BSD-2-Clause
"""Small vocabularies, trained here, as folders that the reference libraries read; and texts that are hard to cut."""

import io
import json
import os
import string

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"          # the reference may not ask the network either
os.environ["TOKENIZERS_PARALLELISM"] = "false"

_TEXTS = (
    "", " ", "\n", "\t", "a", "Hello, world!", " Hello", "Hello ", "  two  spaces   three\n\n\nlines\n", "\r\n\r\n x",
    "0", "12", "2024-05-17 3.14159 1000000 1,000", "x1y22z333", "٣٤٥ ½ ² Ⅷ 一二三",
    "你好，世界。今天天气很好！", "こんにちは世界", "안녕하세요 세계", "Привет, мир", "مرحبا بالعالم", "שלום עולם",
    "नमस्ते दुनिया", "🙂", "👩‍👩‍👧‍👦 family 🏳️‍🌈 flags 🇫🇷",
    "e\u0301 é naïve café", "a\u00a0b\u2003c\u200bd\u0085e", "\ufeffbom", "\ufffd", "\x00\x01\x7f",
    "don't I'll you've WE'RE it'S o'clock", "def f(x):\n    return x**2  # comment\n\tif x >= 0: pass",
    "foo_bar fooBar FOOBar snake_case CamelCase HTTPServer", "!!! ??? ... --- $5 `code` <tag/> [a] {b} a|b ~c^d",
    "<s> and </s> and <unk>", "<s>x</s>y", "a<|im_start|>user\nhi<|im_end|>\n", "<|im_start|> x <|im_end|> ",
    "<|im_end|><|im_end|>",
    "<0x41> <0x0A>", "▁under▁score", "x" * 300, "ab" * 200, "𝒳𝓎 𐍈 \U0010ffff",
)

# What the vocabularies are trained on: all of the above without the special tokens, and some running text.
_CORPUS = [text for text in _TEXTS if "<|" not in text and "<s>" not in text] * 3 + [
    f"The quick brown fox number {i} jumps over the lazy dog; 世界 and мир, {i * 37} times." for i in range(300)
] + [string.printable, string.ascii_letters * 2]

_SPECIAL  = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
_MESSAGES = [{"role": "user", "content": "Hi there 世界"}, {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "  12 + 34\n"}]
_CHATML   = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
             "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}"
             "{{ '<|im_start|>assistant\n' }}{% endif %}")

_LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
_QWEN2  = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")


def _cuts():
    """Pre-tokenisers as the models' own tokenizer.json has them, by the name that GGUF gives them."""
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as p

    def split(pattern):
        return p.Sequence([p.Split(Regex(pattern), "isolated"), p.ByteLevel(add_prefix_space=False, use_regex=False)])

    return {
        "gpt-2":     p.ByteLevel(add_prefix_space=False),
        "smollm":    p.Sequence([p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False)]),
        "llama-bpe": split(_LLAMA3),
        "qwen2":     split(_QWEN2),
        "tekken":    split(_TEKKEN),
    }


def _byte_level(cut, *, whole_words=False):
    """A byte-level BPE of 700 tokens; the special ones come first, as in SmolLM2."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    pipeline = Tokenizer(models.BPE(ignore_merges=whole_words))
    pipeline.pre_tokenizer = cut
    pipeline.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=[AddedToken(t, normalized=False) for t in _SPECIAL],
                                  initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    pipeline.train_from_iterator(_CORPUS, trainer)
    return pipeline


def _byte_fallback():
    """A BPE as transformers converts Llama-2's: ▁ for spaces, bytes for what is unknown."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, trainers

    pipeline = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    pipeline.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    pipeline.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                          decoders.Strip(" ", 1, 0)])
    tokens  = [AddedToken(t, normalized=False) for t in _SPECIAL]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=tokens + [f"<0x{i:02X}>" for i in range(256)],
                                  limit_alphabet=100, max_token_length=12, show_progress=False)
    pipeline.train_from_iterator(_CORPUS, trainer)
    values = json.loads(pipeline.to_str())  # the 256 bytes are tokens of the model, not special ones
    values["added_tokens"] = [entry for entry in values["added_tokens"] if entry["content"] in _SPECIAL]
    return Tokenizer.from_str(json.dumps(values))


def _unigram():
    """A Unigram with ▁ before each word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    pipeline = Tokenizer(models.Unigram())
    pipeline.normalizer = normalizers.NFKC()
    pipeline.pre_tokenizer = pre_tokenizers.Metaspace()
    pipeline.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=_SPECIAL, unk_token="<unk>", show_progress=False)
    pipeline.train_from_iterator(_CORPUS, trainer)
    return pipeline


def _write_folder(folder, pipeline, **config):
    """A model's folder around a pipeline of `tokenizers`."""
    folder.mkdir(exist_ok=True)
    pipeline.save(str(folder/"tokenizer.json"))
    (folder/"tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "<|im_end|>",
         "unk_token": "<unk>", "clean_up_tokenization_spaces": False, "chat_template": _CHATML} | config))
    return folder


def _sentencepiece(kind, **options):
    import sentencepiece

    model = io.BytesIO()
    lines = [line for text in _CORPUS for line in text.split("\n") if line.strip() and "\x00" not in line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type=kind, vocab_size=600, byte_fallback=True,
        character_coverage=0.98, minloglevel=2, num_threads=1, **options)
    return model.getvalue()


@pytest.fixture(scope="session")
def llama_model():
    """tokenizer.model as Llama-2's: BPE, no normalisation, spaces kept."""
    return _sentencepiece("bpe", normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
                          allow_whitespace_only_pieces=True)


@pytest.fixture(scope="session")
def unigram_model():
    """tokenizer.model with sentencepiece's own defaults: Unigram, NFKC, spaces collapsed."""
    return _sentencepiece("unigram")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Folders by name, one for each kind of tokenizer.json."""
    from tokenizers import processors

    top, made = tmp_path_factory.mktemp("tokenizers"), {}
    for name, cut in _cuts().items():
        pipeline = _byte_level(cut, whole_words=name in ("llama-bpe", "tekken"))
        if name == "llama-bpe":  # BOS by the file itself, as Llama 3 has it
            pipeline.post_processor = processors.Sequence([
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", pipeline.token_to_id("<s>"))])])
        made[name] = _write_folder(top/name, pipeline)
    made["byte-fallback"] = _write_folder(top/"byte-fallback", _byte_fallback(), tokenizer_class="LlamaTokenizer")
    made["no-bos"] = _write_folder(top/"no-bos", _byte_fallback(), tokenizer_class="LlamaTokenizerFast",
                                  add_bos_token=False, add_eos_token=True)
    made["unigram"] = _write_folder(top/"unigram", _unigram())
    return made


@pytest.fixture(scope="session")
def texts():
    """Texts that are hard to cut."""
    return _TEXTS


@pytest.fixture(scope="session")
def messages():
    """A conversation."""
    return _MESSAGES


@pytest.fixture(scope="session")
def write_folder():
    """(folder, pipeline of `tokenizers`, **keys of tokenizer_config.json) → folder as a model has it."""
    return _write_folder
