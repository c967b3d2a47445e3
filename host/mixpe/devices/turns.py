# SPDX-License-Identifier: BSD-2-Clause
"""Threads take turns on a device: one call, with all that it sends and awaits, at a time."""

from functools import wraps


def in_turn(method):
    """A method that holds `self.turn`, a reentrant lock, from begin to end. The wait is as long as others' calls."""
    @wraps(method)
    def call(self, *args, **options):
        with self.turn:
            return method(self, *args, **options)
    return call
