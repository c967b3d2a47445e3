# SPDX-License-Identifier: BSD-2-Clause
"""Several sessions in one pass on a device: programs whose rows are sessions, and their runs.

    table of rows ─► RUN ─► tokens of each pass, a row each
       │ token, position, session: those that are left over repeat the last one
"""

import numpy as np

from mixpe.devices.run import Run
from mixpe.devices.sessions import read_bytes
from mixpe.errors import ConfigError, DeviceMemoryError
from mixpe.program.compile import batch_sizes, compile_batch
from mixpe.program.layout import TOP_BYTES
from mixpe_gateware.contract.jobs import JobCode
from mixpe_gateware.contract.program.records import TOP
from mixpe_gateware.contract.program.run import ROW_BYTES, tokens_bytes

PASSES_MAX  = 32  # of a run
TABLE_BYTES = tokens_bytes(PASSES_MAX, False, True)


class _Batch:
    """A program for some rows, and the memory that its passes share."""

    def __init__(self, owner, program):
        self.program = program
        self.work    = owner.region("what sessions share in a pass", program.session.size)
        self.table   = owner.region("a table of sessions", TABLE_BYTES)
        self.records = owner.records_of(program)
        self.places  = [(self.work.addr, program.session.size), (self.table.addr, TABLE_BYTES)]


class Batches:
    """Programs for passes whose rows are sessions; each is put on the device when it is first wanted.

    Parameters
    ----------
    owner : DeviceProgram
    """

    def __init__(self, owner):
        self._owner = owner
        self._found = {}  # rows → _Batch, or None: the device cannot

    @property
    def most(self):
        """Sessions that a pass may have; 1 where there are no such passes."""
        return max(self._sizes(), default=1)

    def _sizes(self):
        owner = self._owner
        return [rows for rows in batch_sizes(owner.program, owner.driver.config) if self._found.get(rows, True)]

    def prepare(self, count):
        """Have memory for passes of some sessions, or of as many as there is memory for.

        Returns
        -------
        int
            So many of them may be in one pass.
        """
        rows = 1
        while count > 1 and (rows := self._rows_for(count)) > 1 and self._of(rows) is None:
            pass
        return min(count, rows)

    def _rows_for(self, count):
        return min((rows for rows in self._sizes() if rows >= count), default=self.most)

    def _of(self, rows):
        """The program for so many rows; None: the device cannot, and is not asked again."""
        owner = self._owner
        with owner.driver.turn:
            if rows not in self._found:
                kept = len(owner.regions)
                try:
                    self._found[rows] = _Batch(owner, compile_batch(owner.program, owner.driver.config, rows))
                except (ConfigError, DeviceMemoryError):
                    owner.give_back(kept)
                    self._found[rows] = None
            return self._found[rows]

    def run(self, sessions, tokens, positions, count, listed=False):
        """Run passes, after `DeviceProgram.prepare`; they end early behind one in which a token ends its text.

        Parameters
        ----------
        sessions : list of SessionRegion
            At most as many as `prepare` said.
        tokens, positions : list of int
            The next token of each, and where.
        count : int
            Passes, at most `PASSES_MAX`.
        listed : bool
            The largest logits of the last pass are wanted.

        Returns
        -------
        end : RunEnd
            Its passes are those of each session.
        chosen : list of list of int
            Of each session, a token a pass.
        top : list of (tokens, logits)
            Of each session as `SessionRegion.top` has them, if they are wanted and there are some.
        """
        owner, driver = self._owner, self._owner.driver
        batch   = self._of(self._rows_for(len(sessions)))
        program = batch.program
        table   = [[token, position, session.state_addr, 0]
            for session, token, position in zip(sessions, tokens, positions, strict=True)]
        table  += [table[-1]]*(program.rows - len(table))
        run = Run(program_addr=batch.records.region.addr, tokens_addr=batch.table.addr, state_addr=batch.work.addr,
            state_bytes=program.session.size, token=0, position=0, identity=batch.records.identity, count=count,
            prompt=False, listed=listed, more=False, batch=True,
            limit_cycles=count*owner.pass_cycles(program, max(positions) + count))
        with owner.timed():
            driver.write_memory(batch.table.addr, np.array(table, "<u4"))
            end  = driver.run_program(run, [*batch.places, *(session.places[0] for session in sessions)])
            made = self._chosen(batch, end.passes)[:, :len(sessions)].T.tolist()
            top  = self._top(batch, len(sessions)) if listed and end.code == JobCode.OK else []
        return end, made, top

    def _chosen(self, batch, passes):
        """Tokens of some passes: (passes, rows) uint32."""
        rows = batch.program.rows
        raw  = read_bytes(self._owner.driver, batch.table.addr + ROW_BYTES*rows, 4*rows*passes)
        return raw.view("<u4").reshape(passes, rows)

    def _top(self, batch, sessions):
        place = batch.program.session["top"]
        pairs = read_bytes(self._owner.driver, batch.work.addr + place.offset, TOP_BYTES*sessions).view("<u4")
        pairs = pairs.reshape(sessions, TOP, 2)[:, :batch.program.architecture.vocab_size]
        return [(each[:, 0].astype(np.int64), np.ascontiguousarray(each[:, 1]).view(np.float32)) for each in pairs]
