# SPDX-License-Identifier: BSD-2-Clause
"""Sessions that go on together: weights are read once for the next token of each."""

from dataclasses import dataclass, field

from mixpe.devices.batch import PASSES_MAX
from mixpe.errors import JobError, MixpeError, ModelError
from mixpe_gateware.contract.jobs import JobCode


@dataclass
class Advance:
    """How far a session came.

    Attributes
    ----------
    tokens : list of int
        That were chosen; all but the last one are in the cache.
    error : MixpeError or None
        What ended this session, and no other.
    """

    tokens: list = field(default_factory=list)
    error: MixpeError | None = None


def go_on_together(sessions, tokens, count=1, *, listed=False):
    """Append a token to each session, and those that are chosen after it, as `Session.go_on` does for each alone.

    As many as the device has rows for are in one pass; where it has none, or no memory for it, they take turns. The
    tokens and the caches' bytes are those of each session alone.

    Parameters
    ----------
    sessions : sequence of Session
        Of one model, each once.
    tokens : sequence of int
    count : int
        Passes at most, of each.
    listed : bool
        `Session.top` is wanted of each.

    Returns
    -------
    list of Advance
        Of each session. One that has no room left, or whose numbers leave their range, ends alone.

    Raises
    ------
    ModelError
        No session, one of them twice, or of several models.
    JobError
        The device ended the run with a code that is no row's: its program is damaged, say.
    MixpeError
        The link or the device failed, or something in its memory is damaged. What was completed is in the sessions.
    """
    if not sessions or len(sessions) != len(tokens) or len({id(each) for each in sessions}) < len(sessions):
        raise ModelError("one session or more go on together, each once and with a token")
    program = sessions[0].device_program
    if any(each.device_program is not program for each in sessions):
        raise ModelError("sessions of one model go on together, these are of several")
    found = [_Text(session, int(token), count, program.ends) for session, token in zip(sessions, tokens, strict=True)]
    with program.driver.turn:
        for text in found:
            text.attempt(lambda text: text.session.check([text.next], count))
        while going := [text for text in found if text.left]:
            _pass(program.batches, going, listed)
    return [Advance(text.made, text.error) for text in found]


class _Text:
    """A session on its way."""

    def __init__(self, session, token, count, ends):
        self.session, self.next, self.left = session, token, count
        self.made, self.error, self._ends  = [], None, ends

    def took(self, chosen):
        """It has these tokens more."""
        self.made += chosen
        self.next  = chosen[-1]
        self.left  = 0 if self.next in self._ends else self.left - len(chosen)

    def attempt(self, act):
        """Do something that this session alone may fail at."""
        try:
            act(self)
        except (ModelError, JobError) as error:
            self.error, self.left = error, 0

    def alone(self, count, listed):
        """Some passes without the others."""
        self.attempt(lambda text: text.took(text.session.go_on(text.next, count, listed)))


def _pass(batches, texts, listed):
    """One run, or more, that all of these have tokens from."""
    while texts:
        some = batches.prepare(len(texts))
        _run(batches, texts[:some], listed)
        texts = texts[some:]


def _run(batches, texts, listed):
    """A run of texts that fit one pass. Whose row failed is found by running each alone."""
    if len(texts) == 1:
        texts[0].alone(texts[0].left, listed)
        return
    for text in texts:
        text.attempt(lambda text: text.session.restore())
    if not all(text.left for text in texts):
        return  # the others are in the next run
    count = min(PASSES_MAX, *(text.left for text in texts))
    end, chosen, top = batches.run([text.session.region for text in texts], [text.next for text in texts],
        [text.session.length for text in texts], count, listed)
    for index, (text, made) in enumerate(zip(texts, chosen, strict=True)):
        text.session.take(text.next, made, top[index] if top else None)
        if made:
            text.took(made)
    if end.code == JobCode.RANGE:
        for text in texts:
            text.alone(1, listed)
    elif end.code != JobCode.OK:
        raise JobError(f"the device ended a run of {len(texts)} sessions after {end.passes} of {count} passes, at "
            f"record {end.record}: {end.code.text} (code {end.code.value})", end.code)
