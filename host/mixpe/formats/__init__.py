# SPDX-License-Identifier: BSD-2-Clause
"""Files: safetensors and quantised matrices."""
