# SPDX-License-Identifier: BSD-2-Clause
"""What every engine shares: queue, registers, counters, checksum, probe."""
