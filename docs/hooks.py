# SPDX-License-Identifier: BSD-2-Clause
"""Links of a page to files of the repository that are no pages of the site become their text."""

import re

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)[^)]+\)")


def on_page_markdown(markdown, **_about):
    """Called by MkDocs with the source of each page."""
    return OUTSIDE.sub(r"\1", markdown)
