# SPDX-License-Identifier: BSD-2-Clause
"""Speed of a design on the authors' four workloads when it fills an equal budget.

The cycle model is that of the SoC (`contract.timing`) with the units of a budget as its array. A matrix product of m
tokens with n channels over k takes

    start + activations + max(reads + writes, products)

where reads, writes and start are as in the SoC: what DDR3 gives a reader, what writing results takes from it. The
SoC's array is rows × lanes of one beat, which no budget divides into evenly; here each unit takes an output channel
instead, and all have the same activations: products are m · ⌈n/units⌉ · k over a unit's products a cycle. Scales are
taken to be applied as fast as group sums come. For the SoC's shape both models agree to 4 %
(`tests/explore/test_workloads.py`).

k is cut where the activations of all tokens do not fit on chip. Only linear layers count, with the shapes of the
authors' simulator (queries, keys and values 3H × H, output H × H, feed-forward 4H × H and H × 4H).
"""

from mixpe.explore.storage import GROUP, matrix_bytes
from mixpe_gateware.contract.config import Config
from mixpe_gateware.contract.timing import CHECK_CYCLES, DRAIN_CYCLES, MemoryTiming, memory_timing

WORKLOADS = {  # name: (layers, hidden)
    "ViT-B":       (12, 768),
    "ViT-Huge":    (32, 1280),
    "OPT-6.7B":    (32, 4096),
    "Llama-2-13B": (40, 5120),
}
PREFILL_TOKENS    = 64          # the batch of the authors' simulator
ACTIVATION_BYTES  = 256*1024    # on chip: the authors' buffer, and that of 8 rows of the SoC
ACTIVATION_WIDTH  = {"aligned-a16": 2, "mixpe-a16": 2, "fp16-dequant": 2}  # bytes, 1 for the others
BEAT_BYTES        = 16
DDR3_BYTES_S      = 1.6e9       # the pins of DDR3 ×16 at 800 MT/s
SIMULATOR_BYTES_S = 64e9        # 1024 bits a cycle of 500 MHz


def ddr3(clock_hz):
    """DDR3 ×16 of the boards behind LiteDRAM, seen from a clock; its port gives a beat a cycle at most."""
    return memory_timing(Config(), DDR3_BYTES_S/clock_hz)


def simulator_memory(clock_hz):
    """The memory of the authors' simulator: 1024 bits a cycle of 500 MHz, nothing lost."""
    beats = SIMULATOR_BYTES_S/BEAT_BYTES/clock_hz
    return MemoryTiming(read_rate=beats, write_cycles=((0.0, 1/beats),))


MEMORIES = {"board": ddr3, "simulator": simulator_memory}


def matrices(workload):
    """(n, k) of the linear layers of one block."""
    hidden = WORKLOADS[workload][1]
    return [(3*hidden, hidden), (hidden, hidden), (4*hidden, hidden), (hidden, 4*hidden)]


def product_cycles(fitted, n, k, m, memory):
    """Cycles of one matrix product whose activations fit on chip.

    Parameters
    ----------
    fitted : Fit
    n, k, m : int
    memory : MemoryTiming
    """
    row     = fitted.row
    acts    = m*k*ACTIVATION_WIDTH.get(row["design"], 1)/BEAT_BYTES
    stream  = matrix_bytes(row["design"], n, k)/BEAT_BYTES
    written = 4*n*m/BEAT_BYTES
    array   = m*-(-n//fitted.units)*k/row["macs_per_cycle"]/fitted.share
    read    = stream/memory.read_rate + memory.writing(written, stream)
    start   = CHECK_CYCLES + DRAIN_CYCLES + 2*memory.latency_cycles + acts/memory.read_rate
    return start + max(read, array)


def seconds(fitted, workload, tokens, memory):
    """Seconds of all linear layers for some tokens; `memory` is a name of MEMORIES."""
    clock_hz = fitted.row["fmax_mhz"]*1e6
    timing   = MEMORIES[memory](clock_hz)
    width    = ACTIVATION_WIDTH.get(fitted.row["design"], 1)
    longest  = ACTIVATION_BYTES//(tokens*width)//GROUP*GROUP
    cycles   = 0
    for n, k in matrices(workload):
        whole, rest = divmod(k, longest)
        cycles += whole*product_cycles(fitted, n, longest, tokens, timing)
        cycles += product_cycles(fitted, n, rest, tokens, timing) if rest else 0
    return WORKLOADS[workload][0]*cycles/clock_hz
