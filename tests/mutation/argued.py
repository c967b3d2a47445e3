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
    ("host/mixpe/plan/cut.py", "elif span <= fits:", "<=", "<"):
        "a group that just fits is as long as the pieces of 32 that fit",
}
