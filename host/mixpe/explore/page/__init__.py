# SPDX-License-Identifier: BSD-2-Clause
"""The comparison page: its text is ``comparison.md`` here, its tables and sentences are made of the results."""

from mixpe.explore.page.write import page

__all__ = ["page"]
