# SPDX-License-Identifier: BSD-2-Clause
"""Rows of a batch, as their table has them: what each runs next, where, and in whose memory; and what a run does for
each of them.

    header ─► table from memory ─► row ─► checks ─► records ─► next row … ─► ids to memory ─► next pass …
"""

from litex.gen import LiteXModule
from migen import READ_FIRST, Cat, If, Memory, NextState, NextValue, Signal

from mixpe_gateware.contract.program.records import ROWS_MAX
from mixpe_gateware.contract.program.run import ROW_WORDS
from mixpe_gateware.contract.widths import log2
from mixpe_gateware.control.program.checks import END_IDS

TOKEN, POSITION, SESSION, _ = range(len(ROW_WORDS))
assert len(ROW_WORDS) == 1 << log2(len(ROW_WORDS))  # `row` and `word` side by side are a place


class RowTable(LiteXModule):
    """A word in, a word out in each cycle.

    Attributes
    ----------
    put : Signal(), place : Signal(max=ROWS_MAX*4), value : Signal(32), in
        A word of the table.
    row : Signal(max=ROWS_MAX), word : Signal(max=4), in
        What is read; `data` shows it in the next cycle.
    data : Signal(32), out
    """

    def __init__(self):
        self.put   = Signal()
        self.place = Signal(max=ROWS_MAX*len(ROW_WORDS))
        self.value = Signal(32)
        self.row   = Signal(max=ROWS_MAX)
        self.word  = Signal(max=len(ROW_WORDS))
        self.data  = Signal(32)

        # # #

        memory = Memory(32, ROWS_MAX*len(ROW_WORDS), name="rows")
        write  = memory.get_port(write_capable=True)
        read   = memory.get_port(mode=READ_FIRST)
        self.specials += memory, write, read
        self.comb += [
            write.adr.eq(self.place),
            write.dat_w.eq(self.value),
            write.we.eq(self.put),
            read.adr.eq(Cat(self.word, self.row)),
            self.data.eq(read.dat_r),
        ]


def add_row_states(control, fsm):
    """States that only a batch has.

    TABLE, behind the header, reads the table and goes on to TOKEN; ROW_TOKEN, behind TOKEN, which asks the table for
    the row's token, goes on to its checks. CHOSEN, behind a pass, has the rows' ids written by WRITE, which comes back
    to ROW_ENDS, and goes on to COUNT.

    Parameters
    ----------
    control : RunControl
    fsm : FSM
    """
    checks, descriptor, item = control.checks, control.descriptor, control.item
    fsm.act("TABLE",
        control.request.valid.eq(1),
        control.request.address.eq(control.address),
        If(control.request.ready, NextState("FILL")),
    )
    fsm.act("FILL",
        control.reads_token.eq(1),
        control.token_sink.ready.eq(1),
        control.put_row.eq(control.taken_word),
        If(control.last_word,
            NextValue(control.address, control.address + 4),
            NextValue(item, item + 1),
            NextState("TABLE"),
            If(item == (checks.rows << log2(len(ROW_WORDS))) - 1, NextState("TOKEN")),
        ),
    )
    fsm.act("ROW_TOKEN",
        descriptor.token.eq(control.row_data),
        descriptor.put_token.eq(1),
        control.read_word.eq(POSITION),
        NextState("ROW_POSITION"),
    )
    fsm.act("ROW_POSITION",
        NextValue(checks.position, control.row_data),
        NextValue(checks.step, checks.ROW),
        NextState("CHECK"),
    )
    fsm.act("CHOSEN",
        control.read_row.eq(item),
        control.read_word.eq(TOKEN),
        NextState("SHOWN"),
    )
    fsm.act("SHOWN",
        descriptor.token.eq(control.row_data),
        descriptor.put_token.eq(1),
        NextValue(control.token, control.row_data),
        NextState("WRITE"),
    )
    fsm.act("ROW_ENDS",
        checks.look.eq(1),
        NextValue(checks.end_id, checks.end_id + 1),
        If(checks.ends, NextValue(control.stop, 1)),
        If(checks.end_id == len(END_IDS) - 1,
            NextValue(item, item + 1),
            NextState("CHOSEN"),
            If(item == checks.rows - 1, NextState("COUNT")),
        ),
    )
