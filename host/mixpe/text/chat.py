# SPDX-License-Identifier: BSD-2-Clause
"""Chat templates: how a conversation is written as one text for a model.

A template is a Jinja program that comes with the model, so it is not trusted: a second Python process runs it in
Jinja's sandbox with a limit on time, memory and length (`render.py`), and gives back text or an error.
"""

import json
import sys
import tempfile
from pathlib import Path

from mixpe.errors import DtypeError, ModelError
from mixpe.text import extras
from mixpe.tools import ToolCrash, ToolTimeout, run_tool

LIMIT_S          = 10       # of one rendering; usual is 0.1 s, nearly all of it the start of Python
LIMIT_MEMORY     = 1 << 29  # bytes of the process
LIMIT_CHARACTERS = 1 << 24  # of the rendered text

_PROGRAM = Path(__file__).with_name("render.py")


class ChatTemplate:
    """The chat templates of a model.

    Parameters
    ----------
    templates : dict of str → str
        Jinja sources by name; "default" is the usual one, "tool_use" is for conversations with tools.
    names : dict of str → str
        Variables for the template, such as bos_token.
    """

    def __init__(self, templates, names=None):
        self.templates = dict(templates)
        self._names    = dict(names or {})

    def render(self, messages, *, add_generation_prompt=True, tools=None, limit_s=LIMIT_S, **variables):
        """Write a conversation as the text that the model was trained on.

        Parameters
        ----------
        messages : list of dict
            Each with "role" and "content", as JSON.
        add_generation_prompt : bool
            End with the beginning of the model's answer.
        tools : list of dict, optional
            JSON schemas of functions.
        limit_s : float
            Wall-clock time for the template.
        variables
            Further variables of the template, as JSON (documents, enable_thinking, …).

        Returns
        -------
        str
            With special tokens by name, BOS among them if the model wants one: encode it with ``add_special=False``.

        Raises
        ------
        DtypeError
            The messages are not JSON.
        ModelError
            No template, a wrong one, one that refuses the conversation, or one that exceeds a limit.
        ToolError
            Jinja is not installed.
        """
        source = self._choose(tools)
        try:
            request = json.dumps({
                "folders": [extras.folder(library, "a chat template") for library in ("jinja2", "markupsafe")],
                "limits": {"seconds": limit_s, "memory": LIMIT_MEMORY, "characters": LIMIT_CHARACTERS},
                "source": source,
                "variables": self._names | variables | {"messages": messages, "tools": tools,
                    "add_generation_prompt": add_generation_prompt} | {"documents": variables.get("documents")},
            })
        except (TypeError, ValueError, RecursionError) as error:
            raise DtypeError(f"messages and variables of a chat template must be JSON: {error}") from None
        answer = _run(request, limit_s)
        if "error" in answer:
            raise ModelError(f"the chat template {answer['error']}")
        return answer["text"]

    def encode(self, tokenizer, messages, **options):
        """Tokens of a conversation; `options` as for `render`. The template writes BOS, so none is added."""
        return tokenizer.encode(self.render(messages, **options), add_special=False)

    def _choose(self, tools):
        name = "tool_use" if tools is not None and "tool_use" in self.templates else "default"
        if name not in self.templates:
            raise ModelError("the model has no chat template"
                             + (f" named default, only {', '.join(map(repr, self.templates))}" if self.templates else
                                "; give it a plain text to continue instead of a conversation"))
        return self.templates[name]


def _run(request, limit_s):
    """Answer of the process that renders: {"text": …} or {"error": …}."""
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder)/"request.json", Path(folder)/"answer.json"
        question.write_text(request)
        # -I: neither the environment nor the current folder may bring modules into the process.
        words = ["-I", "-c", _PROGRAM.read_text(encoding="utf-8"), question, answer]
        try:
            run_tool(sys.executable, words, folder, limit_s, what="chat template")
        except ToolTimeout:
            return {"error": f"did not end within {limit_s} s"}
        except ToolCrash:  # by the system's limits on processor time and memory
            return {"error": f"was stopped: it needs more than {limit_s} s or {LIMIT_MEMORY} bytes of memory"}
        return json.loads(answer.read_bytes())
