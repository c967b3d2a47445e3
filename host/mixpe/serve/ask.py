# SPDX-License-Identifier: BSD-2-Clause
"""What clients ask, checked field by field: the bodies of OpenAI's /v1/chat/completions and /v1/completions."""

import json
import math
from dataclasses import dataclass, field

from mixpe.errors import MixpeError

STOPS_MAX      = 4     # stop strings of a request
STOP_CHARS_MAX = 256
SEED_LIMIT     = 1 << 63
DEFAULT_TOKENS = 256   # of an answer whose length is not said

# Fields that cannot change an answer here, and those that may only have a value that changes nothing, or null.
IGNORED = ("user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
    "service_tier", "prediction", "parallel_tool_calls")
NEUTRAL = {
    "n": (1,), "best_of": (1,), "presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,),
    "top_k": (0, -1), "min_p": (0,), "logit_bias": ({},), "logprobs": (False,), "top_logprobs": (0,),
    "echo": (False,), "suffix": ("",), "response_format": ({"type": "text"},), "modalities": (["text"],), "audio": (),
    "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],), "function_call": ("none", "auto"),
    "reasoning_effort": ("none",), "verbosity": ("medium",), "web_search_options": (),
}
CHAT_ROLES = ("system", "developer", "user", "assistant")


class AskError(MixpeError):
    """A request that cannot be served.

    Attributes
    ----------
    param : str or None
        The field that is wrong.
    code : str or None
    status : int
        Of HTTP.
    """

    def __init__(self, message, param=None, code=None, status=400):
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


@dataclass(frozen=True)
class Ask:
    """A checked request.

    Attributes
    ----------
    messages : list of dict, or None
        Of a conversation.
    prompt : str or None
        A text to continue.
    n : int
        Most tokens.
    temperature, top_p : float
    seed : int or None
    stop : tuple of str
    stream, usage : bool
        Pieces as they are made; a last piece with the usage.
    """

    messages:    list | None
    prompt:      str | None
    n:           int
    temperature: float
    top_p:       float
    seed:        int | None
    stop:        tuple = field(default=())
    stream:      bool = False
    usage:       bool = False


def _number(body, name, default, low, high, *, whole=False):
    value = body.get(name)
    if value is None:
        return default
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high or not math.isfinite(value):
        what = "a whole number" if whole else "a number"
        raise AskError(f"{name} must be {what} from {low} to {high}, not {value!r}", name)
    return value


def _flag(body, name):
    value = body.get(name)
    if value not in (None, True, False) or isinstance(value, (int, float)) and not isinstance(value, bool):
        raise AskError(f"{name} must be true or false, not {value!r}", name)
    return bool(value)


def _check_neutral(body):
    """Refuse what would change the answer, and is not done here."""
    for name, neutral in NEUTRAL.items():
        value = body.get(name)
        # True is no 1 and 0 no False: in a text's request logprobs 0 asks for those of the chosen tokens.
        if value is not None and not any(
                value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral):
            right = f", or give {' or '.join(map(json.dumps, neutral))}" if neutral else ""
            raise AskError(f"{name} is not supported: leave it out{right}", name, "unsupported_parameter")


def _stops(body):
    value = body.get("stop")
    value = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(value, list) or len(value) > STOPS_MAX or not all(
            isinstance(stop, str) and 0 < len(stop) <= STOP_CHARS_MAX for stop in value):
        raise AskError(f"stop must be up to {STOPS_MAX} texts of 1 to {STOP_CHARS_MAX} characters", "stop")
    return tuple(value)


def _content(message, index):
    """Text of a message, whose content may be a list of text parts."""
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
                   for part in content):
            raise AskError(f"messages[{index}].content holds parts that are not text", f"messages[{index}].content")
        return "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise AskError(f"messages[{index}].content must be text, not {type(content).__name__}",
            f"messages[{index}].content")
    return content


def _messages(body):
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise AskError("messages must be a list of at least one message", "messages")
    found = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in CHAT_ROLES:
            role = message.get("role") if isinstance(message, dict) else message
            raise AskError(f"messages[{index}].role must be one of {', '.join(CHAT_ROLES)}, not {role!r}",
                f"messages[{index}].role")
        role = "system" if message["role"] == "developer" else message["role"]
        found.append({"role": role, "content": _content(message, index)})
    return found


def _prompt(body):
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str) or not prompt:
        raise AskError("prompt must be one text of at least one character", "prompt")
    return prompt


def parse(body, model, *, chat):
    """Check the body of a request.

    Parameters
    ----------
    body : object
        From JSON.
    model : str
        The name that is served.
    chat : bool
        /v1/chat/completions, else /v1/completions.

    Returns
    -------
    Ask

    Raises
    ------
    AskError
    """
    if not isinstance(body, dict):
        raise AskError("the body must be a JSON object")
    if body.get("model") != model:
        raise AskError(f"the model {body.get('model')!r} is not served here; {model!r} is", "model", "model_not_found",
            404)
    known = {"model", "messages" if chat else "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p",
        "seed", "stop", "stream", "stream_options", *IGNORED, *NEUTRAL}
    for name in body:
        if name not in known:
            raise AskError(f"{name!r} is not known here", str(name)[:64])
    _check_neutral(body)
    options = {} if body.get("stream_options") is None else body["stream_options"]
    if not isinstance(options, dict) or set(options) - {"include_usage", "include_obfuscation"}:
        raise AskError("stream_options may have include_usage", "stream_options")
    length = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return Ask(
        messages    = _messages(body) if chat else None,
        prompt      = None if chat else _prompt(body),
        n           = _number(body, length, DEFAULT_TOKENS, 1, 1 << 20, whole=True),
        temperature = float(_number(body, "temperature", 1.0, 0, 2)),
        top_p       = float(_number(body, "top_p", 1.0, 1e-6, 1)),
        seed        = _number(body, "seed", None, -SEED_LIMIT, SEED_LIMIT - 1, whole=True),
        stop        = _stops(body),
        stream      = _flag(body, "stream"),
        usage       = _flag(options, "include_usage"),
    )
