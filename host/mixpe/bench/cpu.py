# SPDX-License-Identifier: BSD-2-Clause
"""What this machine's CPU does with a GGUF model in llama.cpp: measured, beside what is modelled of boards.

A token of one sequence reads every weight once, so memory bandwidth is what both are bound by, and tokens a second for
each GB/s of it is what they can be compared by.
"""

import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mixpe.errors import ModelError, RangeError

READ_BYTES = 256 << 20  # by each thread: more than its caches hold
REPEATS    = 3          # the best is taken
PROMPT     = 64         # tokens


@dataclass(frozen=True, kw_only=True)
class CpuResult:
    """Measured on this machine.

    Attributes
    ----------
    read_bytes_per_s : float
        What the threads get when they read memory and do nothing else.
    weight_bytes : int
        Of the weights that a token reads.
    """

    cpu: str
    threads: int
    model: str
    weight_bytes: int
    tokens_per_s: float
    prompt_tokens_per_s: float
    read_bytes_per_s: float
    library: str

    @property
    def per_gb(self):
        """Tokens a second for each GB/s of memory bandwidth."""
        return self.tokens_per_s/(self.read_bytes_per_s/1e9)

    def to_dict(self):
        """For JSON."""
        return {"measured": True, **asdict(self), "tokens_per_s_per_gb_per_s": self.per_gb}


def cpu_name(path="/proc/cpuinfo"):
    """The processor's own name where the system tells it."""
    try:
        for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def read_rate(threads, size=READ_BYTES):
    """Bytes a second that so many threads read from memory together."""
    arrays = [np.ones(size//8, np.int64) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        best = 0.0
        for _ in range(REPEATS):
            start = time.perf_counter()
            list(pool.map(np.add.reduce, arrays))
            best = max(best, threads*arrays[0].nbytes/(time.perf_counter() - start))
    return best


def weight_bytes(opened):
    """Bytes of the weights that a token reads: all matrices, but not an embedding that is no output head too."""
    own_head = any(name.startswith(("lm_head", "output.")) for name in opened.tensors)
    return sum(tensor.nbytes for name, tensor in opened.tensors.items()
        if len(tensor.shape) == 2 and not (own_head and "embed" in name))


def rates(model, tokens, prompt=PROMPT):
    """Tokens a second of a `llama_cpp.Llama`: of text, one after the other, and of a prompt at once.

    The tokens themselves do not matter for the time; what is made is the likeliest.
    """
    text, once = 0.0, 0.0
    for _ in range(REPEATS):
        model.reset()
        start = time.perf_counter()
        model.eval([1 + i % 100 for i in range(prompt)])
        once  = max(once, prompt/(time.perf_counter() - start))
        start = time.perf_counter()
        for _ in range(tokens):
            model.eval([model.sample(temp=0.0)])
        text = max(text, tokens/(time.perf_counter() - start))
    return text, once


def measure_cpu(name, opened, *, threads=None, tokens=64):
    """Measure a model in llama.cpp on this machine.

    Parameters
    ----------
    name : str
        As it is called in the result.
    opened : Checkpoint
        Of a GGUF file.
    threads : int, optional
        Left out: as many as this process has processors.
    tokens : int
        That are made in each of three runs.

    Returns
    -------
    CpuResult

    Raises
    ------
    ModelError
        It is no GGUF file, or llama.cpp does not load it.
    RangeError
        No thread, or no token.
    """
    threads = len(os.sched_getaffinity(0)) if threads is None else threads
    if threads < 1 or tokens < 1:
        raise RangeError(f"there must be a thread and a token at least, not {threads} and {tokens}")
    if opened.path.suffix != ".gguf":
        raise ModelError(f"{opened.path} is no GGUF file, which llama.cpp needs")
    import llama_cpp
    try:
        model = llama_cpp.Llama(model_path=str(opened.path), n_ctx=PROMPT + tokens, n_threads=threads,
            n_threads_batch=threads, n_gpu_layers=0, verbose=False)
    except ValueError as error:
        raise ModelError(f"llama.cpp cannot load {opened.path}: {error}") from error
    text, once = rates(model, tokens)
    return CpuResult(cpu=cpu_name(), threads=threads, model=name, weight_bytes=weight_bytes(opened), tokens_per_s=text,
        prompt_tokens_per_s=once, read_bytes_per_s=read_rate(threads), library=f"llama_cpp {llama_cpp.__version__}")
