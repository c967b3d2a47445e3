# SPDX-License-Identifier: BSD-2-Clause
"""Find modules that compute with the weight of a linear layer without calling the layer.

Such a product would stay in PyTorch whatever the device holds. It is found in the source of a module's `forward` and of
the methods that it calls, as ``self.layer.weight`` or ``self.part.layer.weight``. Asking a weight for its type, its
shape or its place computes nothing. Sources that cannot be read are taken to do neither.
"""

import ast
import inspect
import textwrap
from functools import cache

from torch import nn

HARMLESS = {"device", "dtype", "is_cpu", "is_cuda", "is_meta", "is_xpu", "layout", "ndim", "requires_grad", "shape"}
ASKING   = {"dim", "get_device", "hasattr", "is_floating_point", "isinstance", "size"}

# They call their layers instead where these have a hook, which `offload` gives them.
CALLS_WHERE_HOOKED = nn.TransformerEncoderLayer


def _path(node):
    """`a.b` of the expression ``self.a.b``; "" for `self` itself, None for another."""
    if isinstance(node, ast.Name):
        return "" if node.id == "self" else None
    if not isinstance(node, ast.Attribute):
        return None
    before = _path(node.value)
    return None if before is None else f"{before}.{node.attr}".lstrip(".")


class _Reader(ast.NodeVisitor):
    """Collects what a function reads of `self`: `weights`, the paths of layers, and `names`, its own attributes."""

    def __init__(self):
        self.weights, self.names = set(), set()

    def visit_Attribute(self, node):
        """``self.layer.weight``, ``self.method``."""
        path = _path(node)
        if path is None:
            self.visit(node.value)
            return
        parts = path.split(".")
        self.names.add(parts[0])
        if "weight" in parts[1:] and isinstance(node.ctx, ast.Load):
            at = parts.index("weight", 1)
            if not set(parts[at + 1:at + 2]) & (HARMLESS | ASKING):
                self.weights.add(".".join(parts[:at]))

    def visit_Call(self, node):
        """``isinstance(self.layer.weight, …)`` only asks."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for child in ast.iter_child_nodes(node):
            if called not in ASKING or _path(child) is None:
                self.visit(child)

    def visit_Compare(self, node):
        """``self.layer.weight is None`` only asks."""
        if not any(isinstance(part, ast.Constant) for part in node.comparators):
            self.generic_visit(node)


@cache
def _read_by(function):
    """Paths of layers whose weight a function reads, and names of `self` that it uses."""
    reader = _Reader()
    try:
        reader.visit(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        pass
    return reader.weights, reader.names


@cache
def reads(kind):
    """What the `forward` of a module's class reads: dict of path to a layer → name of the method that does."""
    waiting, seen, found = ["forward"], set(), {}
    while waiting:
        name   = waiting.pop()
        method = getattr(kind, name, None)
        if name in seen or not inspect.isfunction(method):
            continue
        seen.add(name)
        weights, names = _read_by(inspect.unwrap(method))
        waiting.extend(sorted(names))
        for path in sorted(weights):
            found.setdefault(path, method.__qualname__)
    return found


def readers(model, layers):
    """Layers whose weight is computed with where they are not called.

    Parameters
    ----------
    model : nn.Module
    layers : set of nn.Module

    Returns
    -------
    dict of layer → str
        The method that reads its weight.
    """
    found = {}
    for module in model.modules():
        if isinstance(module, CALLS_WHERE_HOOKED):
            continue
        for path, method in reads(type(module)).items():
            try:
                layer = module.get_submodule(path)
            except AttributeError:
                continue
            if layer in layers:
                found.setdefault(layer, method)
    return found
