# SPDX-License-Identifier: BSD-2-Clause
"""An answer that a device's decoder makes, each token held against the reference's as it comes."""

from mixpe.errors import VerifyError
from mixpe.program.cycles import timeline
from mixpe_gateware.contract.timing import memory_timing


class Comparison:
    """A text as a device makes it, pass by pass; once.

    Parameters
    ----------
    model : LlamaModel
        Its decoder on the device that is compared.
    tokens : list of int
        The prompt.
    expected : list of int
        What follows, on the reference.

    Attributes
    ----------
    steps : list of int
        Tokens of each of the prompt's passes.
    cycles : int
        Modelled, of all passes.
    """

    def __init__(self, model, tokens, expected):
        self._session, self._config  = model.session(), model.device.config
        self._tokens, self._expected = list(tokens), list(expected)
        block = self._session.program.block
        rows  = 1 if block is None else block.rows
        count = len(self._tokens)
        self.steps  = [1]*(count % rows) + [rows]*(count//rows)
        ends        = [sum(self.steps[:index + 1]) for index in range(len(self.steps))]
        self._costs = [self._cost(step, end - 1, end < count) for step, end in zip(self.steps, ends, strict=True)]
        self._costs += [self._cost(1, count + index, False) for index in range(len(self._expected) - 1)]
        self.cycles = sum(self._costs)

    def _cost(self, step, position, more):
        """Modelled cycles of a pass of so many tokens."""
        program = self._session.program if step == 1 else self._session.program.block
        return round(timeline(program, self._config, memory_timing(self._config), position, prompt=more).cycles)

    def run(self, done):
        """The tokens, each as it comes.

        Parameters
        ----------
        done : callable
            Called behind each pass, and its token, with its modelled cycles.

        Raises
        ------
        VerifyError
            A token is not the reference's.
        """
        with self._session as session:
            at, costs = 0, iter(self._costs)
            for step in self.steps:
                part  = self._tokens[at:at + step]
                at   += step
                token = session.read(part, more=at < len(self._tokens))
                if at < len(self._tokens):
                    done(next(costs))
            for index, wanted in enumerate(self._expected):
                if index:
                    token, = session.go_on(token, 1)
                if token != wanted:
                    raise VerifyError(f"token {index} of the answer is {token}, the reference's is {wanted}")
                yield token
                done(next(costs))
