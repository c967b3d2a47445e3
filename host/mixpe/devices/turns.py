# SPDX-License-Identifier: BSD-2-Clause
"""Threads take turns on a device: one call, with all that it sends and awaits, at a time."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Method = TypeVar("Method", bound=Callable[..., Any])


def in_turn(method: Method) -> Method:
    """A method that holds `self.turn`, a reentrant lock, from begin to end. The wait is as long as others' calls."""
    @wraps(method)
    def call(self, *args, **options):
        with self.turn:
            return method(self, *args, **options)
    return cast(Method, call)
