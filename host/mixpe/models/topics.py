# SPDX-License-Identifier: BSD-2-Clause
"""English prose that every machine has: the topics of Python's manual that `help()` prints, sorted by name."""

from pydoc_data.topics import topics


def text():
    """All topics as one byte string (UTF-8); another version of Python has other words here and there."""
    return "\n".join(topics[name] for name in sorted(topics)).encode()
