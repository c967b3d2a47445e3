# SPDX-License-Identifier: BSD-2-Clause
"""A conversation with a model: what was said, and the keys and values of it that need no second pass."""

from mixpe.errors import ModelError
from mixpe.lm.request import as_request
from mixpe.lm.sampling import Sampler


class Conversation:
    """Questions and answers in turn.

    Parameters
    ----------
    model : LlamaModel
        With a chat template.
    system : str, optional
        What the model is told first.

    Attributes
    ----------
    messages : list of dict
        "role" and "content".
    generation : Generation or None
        Of the last answer, for its statistics.

    Raises
    ------
    ModelError
        The model has no chat template, or no tokenizer.
    """

    def __init__(self, model, system=None):
        if model.tokenizer.chat is None:
            raise ModelError("the model has no chat template; continue a plain text instead: mixpe generate")
        self._model  = model
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._cache  = model.new_past()
        self.reset()

    def reset(self):
        """Forget what was said; the cache's memory serves the next messages."""
        self._cache.length = 0
        self._seen      = []  # tokens whose keys and values are in the cache
        self.messages   = list(self._system)
        self.generation = None

    def ask(self, text, n, *, temperature=0.0, top_p=1.0, seed=0):
        """Answer a further message.

        Parameters
        ----------
        text : str
        n : int
            Most tokens of the answer, from 1; the trained context may end it before.
        temperature, top_p, seed
            See `Sampler`.

        Returns
        -------
        iterator of str
            Pieces of the answer as they are made. Closing it early keeps what was made.

        Raises
        ------
        ModelError
            The conversation is longer than the trained context; the message is not kept.
        """
        model, tokenizer = self._model, self._model.tokenizer
        asked   = [*self.messages, {"role": "user", "content": text}]
        tokens  = tokenizer.chat.encode(tokenizer, asked)
        context = model.context
        _, n    = as_request(tokens, min(n, max(1, context + 1 - len(tokens))), model.config, context)
        known   = 0
        while known < min(len(self._seen), len(tokens) - 1) and self._seen[known] == tokens[known]:
            known += 1
        self._cache.length = known
        self._seen = self._seen[:known]
        rest, _ = as_request(tokens[known:], 1, model.config)
        sampler = Sampler(temperature, top_p, seed, allowed=tokenizer.sampled(model.config.vocab_size))
        self.generation = model.generation(rest, n, sampler, ends=tokenizer.eos_ids, cache=self._cache)
        self.messages   = asked
        return self._answer(tokens, tokenizer.stream())

    def _answer(self, tokens, stream):
        made, answer = self.generation, []
        try:
            for token in made:
                answer.append(stream.push(token))
                if answer[-1]:
                    yield answer[-1]
            answer.append(stream.finish())
            if answer[-1]:
                yield answer[-1]
        finally:
            self._seen = [*tokens, *made.tokens][:self._cache.length]
            self.messages.append({"role": "assistant", "content": "".join(answer)})
