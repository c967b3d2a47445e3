# SPDX-License-Identifier: BSD-2-Clause
"""How help is laid out: paragraphs as wide as the terminal."""

import argparse


class Paragraphs(argparse.HelpFormatter):
    """Wraps each paragraph of a description by itself; an empty line parts them."""

    def _fill_text(self, text, width, indent):
        fill = super()._fill_text
        return "\n\n".join(fill(part, width, indent) for part in text.split("\n\n"))
