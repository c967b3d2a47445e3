# SPDX-License-Identifier: BSD-2-Clause
"""Files of models: checkpoints of every format that is read, one file a format; `open.py` chooses by content."""
