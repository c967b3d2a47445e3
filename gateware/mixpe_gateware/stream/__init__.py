# SPDX-License-Identifier: BSD-2-Clause
"""What every engine is made of: reader, writer, register trees, conversion to FP32."""
