# SPDX-License-Identifier: BSD-2-Clause
"""Speed of a design on the authors' four workloads when it fills an equal LUT budget.

The cycle model: a matrix product of m × n × k takes the longer of its products over the array's products a cycle, and
its weight bytes over the memory's bandwidth. Only linear layers count, with the shapes of the authors' simulator
(queries, keys and values 3H × H, output H × H, feed-forward 4H × H and H × 4H).
"""

BUDGET_LUTS     = 60_000  # of the 83 640 of LFE5U-85F: the rest is the SoC
MEMORY_BYTES_S  = 1.42e9  # DDR3 ×16 at 800 MT/s through LiteDRAM, measured on Arty A7 by others
WORKLOADS = {  # name: (layers, hidden)
    "ViT-B":       (12, 768),
    "ViT-Huge":    (32, 1280),
    "OPT-6.7B":    (32, 4096),
    "Llama-2-13B": (40, 5120),
}
PREFILL_TOKENS = 64
WEIGHT_BITS = {"int8": 8.125, "bitplane-int8": 8.125}
GROUP_BITS  = 4 + 20/128  # nibble, FP16 scale and 4-bit zero per 128


def weights(workload):
    """Weights of all linear layers."""
    layers, hidden = WORKLOADS[workload]
    return layers*12*hidden*hidden


def budget_row(row, budget_luts=BUDGET_LUTS, dsp_total=156):
    """What fits: products a cycle, GOPS, and seconds for one decode step and a prefill of each workload.

    Parameters
    ----------
    row : dict
        Of `points.evaluate`, measured with fmax.
    """
    copies = int(budget_luts//row["luts"])
    if row["dsps"]:
        copies = min(copies, int(dsp_total//row["dsps"]))
    macs = copies*row["macs_per_cycle"]
    rate = macs*row["fmax_mhz"]*1e6
    result = {"design": row["design"], "dsps": row["dsps"]*copies, "units": copies, "macs_per_cycle": macs,
              "fmax_mhz": row["fmax_mhz"], "gops": 2*rate/1e9}
    bits = WEIGHT_BITS.get(row["design"], GROUP_BITS)
    for workload in WORKLOADS:
        count = weights(workload)
        memory_s = count*bits/8/MEMORY_BYTES_S
        result[f"decode_s {workload}"]  = max(memory_s, count/rate)
        result[f"prefill_s {workload}"] = max(memory_s, count*PREFILL_TOKENS/rate)
    return result
