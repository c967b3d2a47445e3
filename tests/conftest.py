# SPDX-License-Identifier: BSD-2-Clause
"""For all tests: one BLAS thread a process, since several test processes share the cores."""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
