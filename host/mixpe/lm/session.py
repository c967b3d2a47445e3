# SPDX-License-Identifier: BSD-2-Clause
"""A text in a device's memory: its keys and values stay there from one request to the next.

Where it is not known that they did, since the device lost its memory, or what made them was damaged, or they are, the
text's tokens are read again before the next run: that gives the same bits, and takes a pass of each.
"""

import numpy as np

from mixpe.devices.turns import in_turn
from mixpe.errors import DeviceError, JobError, ModelError
from mixpe_gateware.contract.jobs import JobCode


class Session:
    """Tokens whose keys and values are in a device's memory.

    Parameters
    ----------
    decoder : DeviceDecoder

    Attributes
    ----------
    tokens : list of int
        In the cache, from position 0.
    read_again : int
        Tokens that were read again.

    Raises
    ------
    DeviceMemoryError
        There is no room for one more.
    """

    def __init__(self, decoder):
        self._program = decoder.program
        self._region  = self._program.open_session()
        self.turn     = decoder.program.driver.turn
        self.context  = decoder.context
        self.read_again = 0
        self.tokens   = []
        self._listed  = False  # of the last run
        self._top     = None   # its largest logits, where they were read with it

    @property
    def device_program(self):
        """What runs it: DeviceProgram."""
        return self._program

    @property
    def region(self):
        """Its memory: SessionRegion, or None once it is closed."""
        return self._region

    @property
    def program(self):
        """What is run for a token, and as its `block` for a prompt: Program."""
        return self._program.program

    @property
    def length(self):
        """Positions that are valid; may be set to fewer, so that a text goes on from there."""
        return len(self.tokens)

    @length.setter
    def length(self, length):
        if not 0 <= length <= len(self.tokens):
            raise ModelError(f"a session of {len(self.tokens)} tokens cannot go on from token {length}")
        del self.tokens[length:]

    @in_turn
    def read(self, tokens, listed=False, more=False):
        """Append tokens of a prompt; returns the token that their last one's logits choose.

        Parameters
        ----------
        tokens : sequence of int
        listed : bool
            `top` is wanted; a pass that finds the largest logit alone takes less.
        more : bool
            Further tokens follow: nothing is chosen, None is returned.

        Raises
        ------
        ModelError
            No token, one outside of the vocabulary, or more than the context.
        JobError
            The device ended the run with a code; `length` is what is valid.
        DamageError
            With `check_s`: see `Device.check`. Nothing was read.
        """
        self.check(tokens, len(tokens))
        self._run([int(token) for token in tokens], len(tokens), True, listed, more)
        return None if more else self._region.tokens(len(tokens), 1)[0]

    @in_turn
    def go_on(self, token, count, listed=False):
        """Append a token and those that are chosen after it, until one ends the text.

        Parameters
        ----------
        token : int
        count : int
            Passes at most.
        listed : bool
            As of `read`.

        Returns
        -------
        list of int
            Chosen tokens. All but the last one are in the cache.

        Raises
        ------
        ModelError, JobError, DamageError
            See `read`.
        """
        self.check([token], count)
        passes = self._run([int(token)], count, False, listed)
        return self._region.tokens(0, passes)

    @in_turn
    def top(self):
        """The largest logits of the last pass: up to 64 (tokens, logits), falling.

        Raises
        ------
        ModelError
            It found the largest alone.
        """
        if not self._listed:
            raise ModelError("the last pass found its largest logit alone; run it with listed=True")
        if self._top is not None:
            return self._top
        if not self._region.is_known:
            self._pass_again()
        return self._region.top()

    def close(self):
        """Give its memory back. A second call does nothing."""
        region, self._region = self._region, None
        if region is not None:
            region.free()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def check(self, tokens, count):
        """Refuse what cannot be run: tokens, of which with those that follow there are so many.

        Raises
        ------
        ModelError, DeviceError
        """
        if self._region is None:
            raise DeviceError("this session was closed; open another one")
        vocabulary = self.program.architecture.vocab_size
        if not len(tokens):
            raise ModelError("there is no token to run; give at least one")
        for token in tokens:
            if not 0 <= token < vocabulary:
                raise ModelError(f"tokens must be 0 … {vocabulary - 1}, found {token}")
        if count < 1 or self.length + count > self.context:
            raise ModelError(f"{self.length + count} tokens are more than the session's context of {self.context}")

    def _run(self, tokens, count, prompt, listed, more=False):
        """Run passes and count what is valid then; returns how many were completed."""
        begin = self.length
        self._listed, self._top = False, None
        self.restore()
        # Of a run that was aborted no position counts.
        end = self._program.run(self._region, tokens, begin, count, prompt, listed, more)
        self._keep(tokens, end.passes, prompt)
        self._region.seal()
        self._check_end(end, count, begin)
        self._listed = listed
        return end.passes

    @staticmethod
    def _check_end(end, count, begin):
        if end.code != JobCode.OK:
            raise JobError(f"the device ended a run of {count} tokens from position {begin} after {end.passes} of "
                f"them, at record {end.record}: {end.code.text} (code {end.code.value})", end.code)

    def _pass_again(self):
        """The last pass once more, for its logits."""
        tokens, self.tokens = self.tokens, self.tokens[:-1]
        try:
            self._run(tokens[-1:], 1, True, True)
        except BaseException:
            self.tokens, self._listed, self._region.epoch = tokens, True, None
            raise

    def restore(self):
        """See to it that the device has all that a run reads: tokens are read again whose keys and values are not known
        to be there.

        Raises
        ------
        JobError, DamageError
        """
        region = self._region
        self._program.prepare()
        if not region.is_known:
            region.clear()
            if self.tokens:
                end = self._program.run(region, self.tokens, 0, len(self.tokens), True, False, True)
                self._check_end(end, len(self.tokens), 0)
                self.read_again += len(self.tokens)
            region.seal()
        else:
            self._program.driver.prepare([region])

    def take(self, token, chosen, top=None):
        """A run with others, after `restore`, appended a token, and those that were chosen after it but the last one.

        Parameters
        ----------
        token : int
        chosen : list of int
            None where no pass was completed.
        top : (tokens, logits), optional
            The last pass's largest logits.
        """
        self.tokens += [token, *chosen[:-1]] if chosen else []
        self._listed, self._top = top is not None, top
        self._region.seal()

    def _keep(self, tokens, passes, prompt):
        if prompt or not passes:
            self.tokens += tokens[:passes]
        else:
            self.tokens += [*tokens, *self._region.tokens(0, passes - 1)]


def listed_logits(session, vocabulary):
    """The largest logits of a session's last pass, -inf for the others: (vocabulary,) float32."""
    tokens, logits = session.top()
    row = np.full(vocabulary, -np.inf, np.float32)
    row[tokens] = logits
    return row
