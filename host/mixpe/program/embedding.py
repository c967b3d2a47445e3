# SPDX-License-Identifier: BSD-2-Clause
"""A row of the embedding from packed weights.

A GEMM of the eight channels that the token's block has, with one-hot activations, rows of an identity, gives their
weights exactly; the token's row is one of the eight.
"""

from mixpe.errors import ConfigError
from mixpe.program.line import Patch, vector
from mixpe.program.linear import gemm, job_of
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK
from mixpe_gateware.contract.program.records import MEASURE, Function, Source

STEP = 32  # elements: a vector record has no shorter rows


def rows_per_job(matrix, config):
    """Most one-hot rows of one job, all of them if possible.

    Raises
    ------
    ConfigError
        Not even 32, or rows that are no multiple of that.
    """
    k = matrix.slab.k
    if matrix.plan.k % STEP:
        raise ConfigError(f"a decoder on a device takes rows of a multiple of {STEP} elements, not {matrix.plan.k}; "
            "leave the decoder out")
    if matrix.plan.planes*k//config.lanes <= config.buffer_beats:
        rows = config.rows*(2*config.k_max//k)
    else:
        rows = config.rows
    rows = min(rows, config.k_max, matrix.plan.k)//STEP*STEP
    if not rows:
        raise ConfigError(f"a device of {config.rows} rows cannot unpack an embedding of {matrix.plan.k} columns: "
            f"{STEP} rows of them do not fit one job")
    return rows


def embed(matrix, config, hidden, *, identity, rows, x, tokens=1):
    """Lines that put the row of a token into x, and a line that measures.

    Returns
    -------
    lines : list of Line
        For each token of a pass.
    measure : list of Line
        For all of them; none where the row of the only one is measured already.

    Parameters
    ----------
    matrix : Matrix
        (vocabulary, hidden).
    config : Config
    hidden : int
    identity : Place
        (k, k) int8.
    rows : Place
        For a job's results.
    x : (Place, Place)
        (tokens, hidden) float32; the second is where rows in several parts, and several rows, come together. What is
        measured lies in the first.
    tokens : int
        Of a pass.
    """
    matrix.check("the embedding")
    k, each, lines = matrix.slab.k, rows_per_job(matrix, config), []
    target = x[0] if each >= hidden and tokens == 1 else x[1]
    for start in range(0, hidden, each):
        m    = min(each, hidden - start)
        size = 4*CHANNELS_PER_BLOCK*m
        job  = job_of(matrix, config, n=CHANNELS_PER_BLOCK, m=m, out_bytes=size, wide=False, shift=False)
        lines.append(gemm("embed", job, weights=matrix.stream(), acts=identity.part(start*k, m*k),
            out=rows.part(0, size), patches=(Patch("weights_addr", Source.TOKEN_BLOCK, matrix.plan.block_bytes[0]),)))
        lines.append(vector("embed", Function.ADD, a=rows.part(0, size), out=target.part(4*start, 4*m), n=m,
            options=MEASURE if target is x[0] else 0, touches=target if tokens > 1 else None,
            patches=(Patch("a_addr", Source.TOKEN_ROW, 4*m),
                *((Patch("out_addr", Source.ROW, 4*hidden),) if tokens > 1 else ()))))
    if target is x[0]:
        return lines, []
    return lines, [vector("embed", Function.ADD, a=target, out=x[0], n=hidden, rows=tokens, options=MEASURE)]
