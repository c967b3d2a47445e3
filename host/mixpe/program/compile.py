# SPDX-License-Identifier: BSD-2-Clause
"""A model as a straight line of records, from its shapes and a device's configuration alone."""

from dataclasses import dataclass, replace

from mixpe.errors import ConfigError
from mixpe.program.constants import Constants
from mixpe.program.embedding import embed, rows_per_job
from mixpe.program.jobs import HEAD
from mixpe.program.layer import LayerLines
from mixpe.program.layout import CONTEXT_STEP, TOP_BYTES, SessionLayout
from mixpe.program.line import Patch, vector
from mixpe.program.linear import Matrix, whole_blocks
from mixpe_gateware.contract.config import GROUP_MIN
from mixpe_gateware.contract.decoder.norm import WIDTH_LIMIT
from mixpe_gateware.contract.program.records import (
    A_SCALED,
    COLUMNS,
    MEASURE,
    RECORD_BYTES,
    RECORDS_MAX,
    ROWS_MAX,
    TOP,
    Function,
    Source,
)
from mixpe_gateware.contract.program.vector import CHOICE_LIMIT

EMBEDDING  = "embedding"  # section of an embedding of its own
BATCH_MAX  = 8            # rows of a batch: reading more by columns takes longer than their weights would
ACTIVATIONS = {"a16": True, "a8g": False}  # formats that a device quantises to itself, and whether they are wide


@dataclass(frozen=True)
class Program:
    """A model's records, with places instead of addresses.

    Attributes
    ----------
    architecture : Architecture
    activations : str
    lines : list of Line
    rows : int
        Tokens of a pass.
    token_lines : int
        Of the lines, those that are run for each token of a pass.
    prompt_lines : int
        Of the lines, those of a pass whose successor is known.
    context : int
        Positions of a session.
    session : SessionLayout
    constants : Constants
    matrices : dict of str → Matrix
        All that must be in the device's memory, by section.
    block : Program or None
        The same with several tokens a pass, for prompts; of the same session, constants and matrices.
    own : SessionLayout or None
        Of each row's session, in a batch: then `session` is what its passes share.
    """

    architecture: object
    activations: str
    lines: list
    rows: int
    token_lines: int
    prompt_lines: int
    context: int
    session: SessionLayout
    constants: Constants
    matrices: dict
    block: "Program | None" = None
    own: SessionLayout | None = None

    @property
    def records(self):
        """With the header."""
        return len(self.lines) + 1

    @property
    def bytes(self):
        """Of all records."""
        return RECORD_BYTES*self.records


def check_shape(architecture, config):
    """Refuse what the decoder of a device does not compute.

    Raises
    ------
    ConfigError
    """
    a = architecture
    if a.head_dim % GROUP_MIN or a.head_dim > config.head_max:
        raise ConfigError(f"the device's decoder takes heads of a multiple of {GROUP_MIN} elements up to "
            f"{config.head_max}, not of {a.head_dim}; leave the decoder out")
    if a.vocab_size >= CHOICE_LIMIT:
        raise ConfigError(f"a decoder on a device chooses among fewer than {CHOICE_LIMIT} tokens, not {a.vocab_size}")


def context_of(architecture, config, context=None):
    """Positions of a session: those asked for, or as many as model and device have, in steps of 64.

    Raises
    ------
    ConfigError
        More are asked for than there are.
    """
    most = min(architecture.max_position_embeddings, config.context_max)
    if context is not None and not 0 < context <= most:
        raise ConfigError(f"a session has 1 … {most} positions, what model and device have, not {context}")
    return most if context is None else context


def compile_program(architecture, config, plans, embedding=None, *, activations="a16", context=None):
    """Compile a model.

    Parameters
    ----------
    architecture : Architecture
    config : Config
        Of the device.
    plans : dict of job → list of LayerPlan
        Matrices of each job, joined along n.
    embedding : LayerPlan, optional
        Of an embedding of its own. Default: the head's matrix.
    activations : "a16" or "a8g"
    context : int, optional
        Positions of a session; default: as many as model and device have.

    Returns
    -------
    Program

    Raises
    ------
    ConfigError
        The device cannot run it.
    """
    check_shape(architecture, config)
    context = context_of(architecture, config, context)
    wide    = ACTIVATIONS[activations]
    jobs    = {job: [Matrix(plan, f"{job}.{index}") for index, plan in enumerate(some)] for job, some in plans.items()}
    table   = jobs[HEAD][0] if embedding is None else Matrix(embedding, EMBEDDING)
    for job, some in jobs.items():
        for matrix in some:
            matrix.check(job)
    table.check("the embedding")
    each      = rows_per_job(table, config)
    rows      = tokens_per_pass(config, jobs, wide)
    session   = SessionLayout(architecture, config, jobs, wide, -(-context//CONTEXT_STEP)*CONTEXT_STEP, each, rows)
    constants = Constants(architecture, context, table.slab.k)
    sections  = {matrix.section: matrix for some in (*jobs.values(), [table]) for matrix in some}

    def program(rows, block=None):
        make  = LayerLines(architecture, config, jobs, wide, session, constants, rows)
        lines = _lines(make, table)
        return Program(architecture, activations, *lines, context, session, constants, sections, block)

    block = program(rows) if rows > 1 else None
    return program(1, block if block is None or block.records <= RECORDS_MAX else None)


def batch_sizes(program, config):
    """Sessions that a pass may have, by how many a program of a batch is compiled for: powers of two from 2 on, rising.

    None where k is padded, or where logits of several rows cannot be told apart: the vocabulary is larger than a row of
    the vector engine.

    Parameters
    ----------
    program : Program
    config : Config
    """
    jobs = _jobs_of(program)
    if len(jobs[HEAD]) > 1 or jobs[HEAD][0].plan.k != jobs[HEAD][0].slab.k:
        return ()
    if whole_blocks(program.architecture.vocab_size) > WIDTH_LIMIT:
        return ()
    most = min(BATCH_MAX, tokens_per_pass(config, jobs, ACTIVATIONS[program.activations]))
    return tuple(1 << power for power in range(1, most.bit_length()))


def compile_batch(program, config, rows):
    """Compile a model for a batch: each row of a pass is the next token of a session of its own.

    Parameters
    ----------
    program : Program
        The model's, for one token a pass.
    config : Config
        Of the device.
    rows : int
        Of `batch_sizes`.

    Returns
    -------
    Program
        Of the same constants and matrices.

    Raises
    ------
    ConfigError
        The device cannot run it.
    """
    jobs, wide, own = _jobs_of(program), ACTIVATIONS[program.activations], program.session
    table   = program.matrices.get(EMBEDDING, jobs[HEAD][0])
    session = SessionLayout(program.architecture, config, jobs, wide, own.context, rows_per_job(table, config), rows,
        batch=True)
    make    = LayerLines(program.architecture, config, jobs, wide, session, program.constants, rows, own)
    lines, _, each, prompt = _lines(make, table)
    return replace(program, lines=lines, rows=rows, token_lines=each, prompt_lines=prompt, session=session,
        block=None, own=own)


def _jobs_of(program):
    """Matrices of each job: dict of job → list of Matrix."""
    jobs = {}
    for section, matrix in program.matrices.items():
        if section != EMBEDDING:
            jobs.setdefault(section.rpartition(".")[0], []).append(matrix)
    return jobs


def tokens_per_pass(config, jobs, wide):
    """How many tokens the array's rows have; 1 where rows would have to be padded.

    Parameters
    ----------
    config : Config
    jobs : dict of job → list of Matrix
    wide : bool
    """
    if any(matrix.plan.k != matrix.slab.k for job, some in jobs.items() if job != HEAD for matrix in some):
        return 1
    return max(1, min(config.rows//2 if wide else config.rows, ROWS_MAX))


def _lines(make, table):
    """Lines of a program, tokens of a pass, and how many are for each of them and for a known successor."""
    architecture, session, rows = make.architecture, make.session, make.rows
    lines, measure = embed(table, make.config, architecture.hidden_size, identity=make.constants["identity"],
        rows=session["rows"], x=(make.stream(0), make.stream(1)), tokens=rows)
    each   = len(lines)
    lines += measure
    for layer in range(architecture.num_hidden_layers):
        found, queries, scaled = make.keys(layer)
        lines += found
        prompt = len(lines)
        lines += make.rest(layer, queries, scaled)
    lines += _batch_head(make) if make.own else _head(make)
    if len(lines) >= RECORDS_MAX and (rows == 1 or make.own):
        raise ConfigError(f"a program has at most {RECORDS_MAX} records, this model needs {len(lines) + 1}")
    return lines, rows, each, prompt


def _select(make, logits, top, options=0):
    vocabulary = make.architecture.vocab_size
    return vector("head", Function.SELECT, a=logits, out=top, n=vocabulary, constant=1, options=options,
        patches=(Patch("constant", Source.LISTED, min(TOP, vocabulary) - 1),))


def _head(make):
    """The last token's logits, and the choice."""
    session, rows, width, lines = make.session, make.rows, make.architecture.hidden_size, []
    last = session["x.0"].part(0, 4*width)
    if rows > 1:
        source, last = last.part(4*(rows - 1)*width, 4*width), session["x.1"].part(0, 4*width)
        lines.append(vector("head", Function.ADD, a=source, out=last, n=width, options=MEASURE))
    lines.append(make.norm("head", "model.norm.weight", last, rows=1))
    lines += make.linear(HEAD, "normed", "logits", rows=1)
    lines.append(_select(make, session["logits"], session["top"], A_SCALED))
    return lines


def _batch_head(make):
    """Logits of all rows, which are told apart, and a choice for each."""
    session, rows, channels = make.session, make.rows, whole_blocks(make.architecture.vocab_size)
    logits, apart = session["logits"].part(0, 4*rows*channels), session["rows_of_logits"]
    lines = [make.norm("head", "model.norm.weight", make.stream(0)),
        *make.linear(HEAD, "normed", "logits", whole=True),
        vector("head", Function.ADD, a=logits, out=apart, n=channels, rows=rows, options=A_SCALED | COLUMNS)]
    for row in range(rows):
        lines.append(_select(make, apart.part(4*row*channels, 4*channels),
            session["top"].part(TOP_BYTES*row, TOP_BYTES)))
    return lines
