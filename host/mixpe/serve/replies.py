# SPDX-License-Identifier: BSD-2-Clause
"""Answers in the shape of OpenAI's interface: whole, in pieces, and errors."""

import json
import secrets
import time


class Reply:
    """One answer.

    Parameters
    ----------
    model : str
    chat : bool
        Of /v1/chat/completions, else of /v1/completions.
    sequence : Sequence
    """

    def __init__(self, model, chat, sequence):
        self._chat, self._sequence = chat, sequence
        prefix = "chatcmpl-" if chat else "cmpl-"
        self._head = {"id": prefix + secrets.token_hex(12), "created": int(time.time()), "model": model}

    def _usage(self):
        prompt, made = len(self._sequence.prompt), len(self._sequence.made)
        return {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made,
            "prompt_tokens_details": {"cached_tokens": self._sequence.known}}

    def whole(self, text, reason):
        """The answer at once: dict."""
        part = {"message": {"role": "assistant", "content": text, "refusal": None}} if self._chat else {"text": text}
        kind = "chat.completion" if self._chat else "text_completion"
        return {**self._head, "object": kind, "usage": self._usage(),
            "choices": [{"index": 0, **part, "logprobs": None, "finish_reason": reason}]}

    def piece(self, text=None, reason=None, *, first=False):
        """A piece of it as a server-sent event: bytes."""
        if self._chat:
            delta = {"role": "assistant"} if first else {}
            part  = {"delta": delta if text is None else {**delta, "content": text}}
        else:
            part = {"text": text or ""}
        choice = {"index": 0, **part, "logprobs": None, "finish_reason": reason}
        return event({**self._head, "object": self._kind(), "choices": [choice]})

    def usage(self):
        """The piece with the usage: bytes."""
        return event({**self._head, "object": self._kind(), "choices": [], "usage": self._usage()})

    def _kind(self):
        return "chat.completion.chunk" if self._chat else "text_completion"


def event(value):
    """A server-sent event: bytes."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def error_body(message, *, param=None, code=None, status=400):
    """An error in OpenAI's shape: dict."""
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status,
        "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
