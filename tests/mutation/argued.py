# SPDX-License-Identifier: BSD-2-Clause
"""Mutants that no test can see, and why: by file, line, and text before and after."""

ARGUED = {
    ("gateware/mixpe_gateware/contract/reference.py",
     "dtype = np.float32 if 15*128*group_size < 1 << 24 else np.float64", "<", "<="):
        "15·128·G is no power of two",
    ("host/mixpe/quant/quantize.py",
     "BLOCK_WEIGHTS   = 1 << 16  # floats worked on at a time: block and temporaries stay in the second-level cache",
     "16", "17"):
        "blocks of another size give the same bits",
    ("host/mixpe/plan/cut.py", "if span in GROUP_SIZES and span <= fits:", "<=", "<"):
        "a group that just fits is the next branch's, which makes the same pieces",
    ("host/mixpe/link/framesession.py", "while (left_s := end - time.monotonic()) > 0 or not tries:", ">", ">="):
        "the clock would have to stand at the limit to the last bit",
}
