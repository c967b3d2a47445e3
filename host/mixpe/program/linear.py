# SPDX-License-Identifier: BSD-2-Clause
"""A linear layer as records: activations for each of its matrices' groups, and a GEMM for each of its parts."""

from dataclasses import dataclass

from mixpe.errors import ConfigError
from mixpe.plan.layer import LayerPlan
from mixpe.program.line import Line, vector
from mixpe.program.place import Place
from mixpe_gateware.contract.config import CHANNELS_PER_BLOCK, N_LIMIT
from mixpe_gateware.contract.descriptor import INDEX, Opcode
from mixpe_gateware.contract.jobs import Job, JobCode, check_job
from mixpe_gateware.contract.program.records import NARROW, Function

CHANNELS = N_LIMIT//CHANNELS_PER_BLOCK*CHANNELS_PER_BLOCK  # of one GEMM
FLAGS    = INDEX["flags"]


@dataclass(frozen=True)
class Matrix:
    """A matrix in the device's memory.

    Attributes
    ----------
    plan : LayerPlan
    section : str
        Of its weight stream.
    """

    plan: LayerPlan
    section: str

    @property
    def slab(self):
        return self.plan.slabs[0]

    def stream(self, start=0, size=None):
        """Place of its weights, or of a part."""
        whole = Place(self.section, self.section, 0, self.plan.stream_bytes[0])
        return whole.part(start, size)

    def check(self, name):
        """Refuse what the device cannot compute in one piece.

        Raises
        ------
        ConfigError
        """
        if not self.plan.fused:
            raise ConfigError(f"{name} has k={self.plan.k}, more than this device takes in one job, and its decoder "
                "adds no parts; leave the decoder out")


def job_of(matrix, config, *, n, m, out_bytes, wide, shift):
    """A GEMM of a matrix as Job with addresses of zero, checked but for these.

    Raises
    ------
    ConfigError
        The device cannot run it.
    """
    slab = matrix.slab
    job  = Job(weights_addr=0, act_addr=0, out_addr=0, n=n, k=slab.k, m=m, group=slab.code, out_bytes=out_bytes,
        fused=True, wide=wide, shift=shift, planes=matrix.plan.planes == 2, form=matrix.plan.form)
    code = check_job(job, config, 1 << 40)
    if code not in (JobCode.OK, JobCode.OVERLAP):  # all lie at the same address here
        raise ConfigError(f"a job of m={m}, n={n}, k={slab.k} cannot run on {config.name}: {code.text}")
    return job


def gemm(name, job, *, weights, acts, out, patches=()):
    """A GEMM line: a Job's shape, and places."""
    return Line(name=name, opcode=Opcode.GEMM, reads=(weights, acts), writes=(out,), patches=patches,
        operands={"weights_addr": weights, "act_addr": acts, "out_addr": out, "n": job.n, "k": job.k, "m": job.m,
            "flags": job.words()[FLAGS], "out_bytes": job.out_bytes})


def gemm_rows(tokens, wide):
    """INT8 rows of activations."""
    return 2*tokens if wide else tokens


def image_bytes(matrix, config, wide, tokens=1):
    """Bytes of some tokens' activations."""
    return job_of(matrix, config, n=CHANNELS_PER_BLOCK, m=gemm_rows(tokens, wide), out_bytes=1 << 20, wide=wide,
        shift=True).act_bytes(config)


def result_bytes(n, config):
    """Bytes of n results, in whole beats."""
    return -(-4*n//config.beat_bytes)*config.beat_bytes


def whole_blocks(n):
    """Channels in whole blocks: those that are more have zeros for weights."""
    return -(-n//CHANNELS_PER_BLOCK)*CHANNELS_PER_BLOCK


def linear(name, matrices, config, wide, *, source, codes, out, rows=1, whole=False):
    """Lines of some tokens through a layer; results are without their unit.

    Parameters
    ----------
    name : str
    matrices : list of Matrix
        Joined along n.
    config : Config
    wide : bool
        Activations are A16, else A8 with a shift a group.
    source : Place
        (rows, k) float32; zeros where k is padded, in one row.
    codes : Place
        For activations.
    out : Place
        (n, rows) float32 results.
    rows : int
        Tokens.
    whole : bool
        Channels are whole blocks.

    Raises
    ------
    ConfigError
    """
    lines, made, start = [], None, 0
    for matrix in matrices:
        matrix.check(name)
        plan, slab = matrix.plan, matrix.slab
        acts = codes.part(0, image_bytes(matrix, config, wide, rows))
        if made != (slab.k, slab.group_size):
            made = slab.k, slab.group_size
            lines.append(vector(name, Function.QUANT, a=source.part(0, 4*rows*slab.k), out=acts, n=slab.k,
                rows=rows, options=0 if wide else NARROW, constant=slab.group_size))
        for first in range(0, plan.n, CHANNELS):
            n   = min(CHANNELS, (whole_blocks(plan.n) if whole else plan.n) - first)
            if 4*rows*start % config.beat_bytes:
                raise ConfigError(f"{name} has a part of {plan.n} channels, whose results fill no whole beats")
            size = result_bytes(rows*n, config)
            job  = job_of(matrix, config, n=n, m=gemm_rows(rows, wide), out_bytes=size, wide=wide, shift=True)
            lines.append(gemm(name, job, acts=acts, out=out.part(4*rows*start, size),
                weights=matrix.stream(first//CHANNELS_PER_BLOCK*plan.block_bytes[0], job.weight_bytes(config))))
            start += n
    return lines
