# SPDX-License-Identifier: BSD-2-Clause
"""One text being made for a client: tokens in, pieces of text out, up to a stop."""

from mixpe.errors import MixpeError
from mixpe.lm.sampling import Sampler


class Stops:
    """Text up to the first of some stop strings, as it comes.

    What could be the beginning of a stop string is held back until it is none.

    Parameters
    ----------
    stops : tuple of str

    Attributes
    ----------
    found : bool
        A stop string has come; nothing follows.
    """

    def __init__(self, stops):
        self._stops = stops
        self._held  = ""
        self.found  = False

    def push(self, text):
        """Further text; returns what is certain to stand before any stop string."""
        if self.found:
            return ""
        held   = self._held + text
        places = [at for at in (held.find(stop) for stop in self._stops) if at >= 0]
        if places:
            self.found, self._held = True, ""
            return held[:min(places)]
        keep = max((size for stop in self._stops for size in range(1, len(stop)) if held.endswith(stop[:size])),
            default=0)
        self._held = held[len(held) - keep:]
        return held[:len(held) - keep]

    def finish(self):
        """What was held back, when no more comes."""
        held, self._held = self._held, ""
        return held


class Sequence:
    """A request on its way.

    Parameters
    ----------
    ask : Ask
    prompt : list of int
        Tokens.
    n : int
        Most tokens to make.
    tokenizer : Tokenizer
    vocabulary : int
        Rows of the logits.
    seed : int
        Of the draws, from 0.
    send : callable
        Gets ("text", str), then once ("end", reason) or ("error", MixpeError); from the owner's thread.

    Attributes
    ----------
    cache : KV cache
        Given by the owner.
    known : int
        Tokens of the prompt that were in the cache already.
    pending : list of int
        Tokens that are to be run next; the last one's logits choose the next token.
    made : list of int
        Tokens made so far.
    cancelled : bool
        Nobody waits for it any more.
    outcome : str
        How it ended: "stop", "length", "cancelled" or "error"; empty before.
    """

    def __init__(self, ask, prompt, n, tokenizer, vocabulary, seed, send):
        self.ask, self.prompt, self.n = ask, prompt, n
        self._sampler = Sampler(ask.temperature, ask.top_p, seed, allowed=tokenizer.sampled(vocabulary))
        self._stream  = tokenizer.stream(continues=ask.messages is None)
        self._ends    = tokenizer.eos_ids
        self._stops   = Stops(ask.stop)
        self._send    = send
        self.cache    = None
        self.known    = 0
        self.pending  = []
        self.made     = []
        self.cancelled = False
        self.outcome  = ""

    @property
    def ended(self):
        return bool(self.outcome)

    @property
    def tokens(self):
        """All tokens, of the prompt and made."""
        return [*self.prompt, *self.made]

    @property
    def greedy(self):
        """Whether it chooses the token of the largest logit, of those that may be chosen."""
        return self._sampler.greedy

    def takes(self, token):
        """Whether it chooses this token if that has the largest logit, whatever the others are."""
        return self._sampler.takes(token)

    def take(self, logits):
        """Choose the next token from (vocab,) float32 logits, and send the text that it completes."""
        token = self._sampler(logits)
        self.made.append(token)
        self.pending = [token]
        ends = token in self._ends
        text = self._stops.push("" if ends else self._stream.push(token))
        full = len(self.made) == self.n
        if ends or full:
            text += self._stops.push(self._stream.finish())
        if (ends or full) and not self._stops.found:
            text += self._stops.finish()
        if text:
            self._send("text", text)
        if ends or full or self._stops.found:
            self.end("stop" if ends or self._stops.found else "length")

    def end(self, reason):
        """It is over: "stop", "length" or "cancelled"."""
        if not self.ended:
            self.outcome = reason
            self._send("end", reason)

    def fail(self, error):
        """It cannot go on: a MixpeError."""
        assert isinstance(error, MixpeError)
        if not self.ended:
            self.outcome = "error"
            self._send("error", error)
