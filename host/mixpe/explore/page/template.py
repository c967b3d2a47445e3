# SPDX-License-Identifier: BSD-2-Clause
"""A page from a text with places for what is made: Markdown in which ``{name}`` stands for a value.

A line that is a name alone is a *block*: a table or a paragraph. Where its value is empty it goes with the paragraph
above it, and a section all of whose blocks are empty goes as a whole.
"""

import re

BLOCK = re.compile(r"^\{(\w+)\}$", re.MULTILINE)
NAME  = re.compile(r"\{(\w+)\}")


def fill(text, values):
    """Markdown of a template.

    Parameters
    ----------
    text : str
    values : dict of str to str

    Raises
    ------
    KeyError
        A name without a value.
    """
    sections = []
    for section in re.split(r"^(?=#)", text, flags=re.MULTILINE):
        blocks = BLOCK.findall(section)
        if not blocks or any(values[name] for name in blocks):
            kept = [part for part in section.strip().split("\n\n") if all(values[name] for name in BLOCK.findall(part))]
            sections.append("\n\n".join(BLOCK.sub(r"\n\g<0>", part).strip() for part in kept))
    return NAME.sub(lambda match: str(values[match.group(1)]), "\n\n".join(filter(None, sections))) + "\n"
