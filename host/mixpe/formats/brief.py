# SPDX-License-Identifier: BSD-2-Clause
"""How what comes from an untrusted file stands in an error message: on one line, and short whatever it is."""

from reprlib import Repr

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 80, 80, 40


def brief(value):
    """`repr` of at most about a hundred characters; deep or long values are cut."""
    text = _SHORT.repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def located(path, error):
    """A message that begins with its file, once."""
    text = str(error)
    return text if text.startswith(str(path)) else f"{path}: {text}"
