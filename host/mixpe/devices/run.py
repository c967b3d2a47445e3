# SPDX-License-Identifier: BSD-2-Clause
"""A RUN as the queue posts it, and how it ended."""

from dataclasses import dataclass

from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.run import run_words


@dataclass(frozen=True, kw_only=True)
class Run:
    """A RUN descriptor; see `contract.program.run`.

    Attributes
    ----------
    listed : bool
        The largest logits are listed.
    more : bool
        A prompt goes on behind it, and nothing is chosen.
    batch : bool
        Each row of a pass is a session.
    limit_cycles : int
        More than it takes, for the limit of the wait.
    """

    program_addr: int
    tokens_addr: int
    state_addr: int
    state_bytes: int
    token: int
    position: int
    identity: int
    count: int
    prompt: bool
    listed: bool
    more: bool
    limit_cycles: int
    batch: bool = False
    tag: int = 0

    def words(self):
        """The 32-bit words that are written to the job registers, in order: list of int."""
        return run_words(**{name: value for name, value in vars(self).items() if name != "limit_cycles"})

    def __str__(self):
        if self.batch:
            return f"a run of {self.count} passes of a batch"
        return f"a run of {self.count} tokens from position {self.position}"


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes
    ----------
    code : JobCode
    cycles : int
    passes : int
        That were completed.
    record : int
        Of the next one, that failed; 0 where none did.
    """

    code: JobCode
    cycles: int
    passes: int
    record: int

    @property
    def outcome(self):
        """All that depends on what was run alone."""
        return self.code, self.passes, self.record
