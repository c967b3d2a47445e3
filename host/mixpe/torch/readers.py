# SPDX-License-Identifier: BSD-2-Clause
"""Find modules that compute with the weight of a linear layer without calling the layer.

Such a product would stay in PyTorch whatever the device holds. It is found in the source of a module's `forward` and of
the methods and properties that it uses, as ``self.layer.weight`` or ``self.part.layer.weight``, also by local names, in
lists of layers, in loops over them and through ``getattr``. Asking a weight for its type, its shape or its place
computes nothing. Sources that cannot be read are taken to do neither, and functions that are given the module are not
looked into.
"""

import ast
import inspect
import textwrap
from functools import cache

from torch import nn

HARMLESS = {"device", "dtype", "is_cpu", "is_cuda", "is_meta", "is_xpu", "layout", "ndim", "requires_grad", "shape"}
ASKING   = {"dim", "get_device", "hasattr", "is_floating_point", "isinstance", "size"}

# They call their layers instead where these have a hook, which `offload` gives them.
CALLS_WHERE_HOOKED = (nn.TransformerEncoder, nn.TransformerEncoderLayer)


def _path(node, local):
    """`a.b` of the expression ``self.a.b``; "" for `self` itself, None for another. `local`: paths of local names.

    A member of a list of layers, whichever, is ``*``.
    """
    if isinstance(node, ast.Name):
        return "" if node.id == "self" else local.get(node.id)
    if isinstance(node, ast.Attribute):
        before, name = _path(node.value, local), node.attr
    elif isinstance(node, ast.NamedExpr):
        return _path(node.value, local)
    elif isinstance(node, ast.Subscript):
        before, name = _path(node.value, local), "*"
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr" and len(node.args) > 1 \
            and isinstance(node.args[1], ast.Constant):
        before, name = _path(node.args[0], local), str(node.args[1].value)
    else:
        return None
    return None if before is None else f"{before}.{name}".lstrip(".")


class _Reader(ast.NodeVisitor):
    """Collects what a function reads of `self`: `weights`, the paths of layers, and `names`, its own attributes."""

    def __init__(self):
        self.weights, self.names = set(), set()
        self._local = {}  # paths that local names stand for

    def _read(self, node):
        """A path, if it is one; whether it was."""
        path = _path(node, self._local)
        if not path:
            return path is not None
        parts = path.split(".")
        self.names.add(parts[0])
        if "weight" in parts[1:]:
            at = parts.index("weight", 1)
            if not set(parts[at + 1:at + 2]) & (HARMLESS | ASKING):
                self.weights.add(".".join(parts[:at]))
        return True

    def visit_Attribute(self, node):
        """``self.layer.weight``, ``self.method``."""
        if not isinstance(node.ctx, ast.Load) or not self._read(node):
            self.visit(node.value)

    def visit_Subscript(self, node):
        """``self.layers[0]``; what stands between the brackets is read too."""
        self.visit(node.slice)
        if not self._read(node):
            self.visit(node.value)

    def visit_Call(self, node):
        """``isinstance(self.layer.weight, …)`` only asks."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "getattr" and self._read(node):
            return
        for child in ast.iter_child_nodes(node):
            if called not in ASKING or _path(child, self._local) is None:
                self.visit(child)

    def visit_Compare(self, node):
        """``self.layer.weight is None`` only asks."""
        if not any(isinstance(part, ast.Constant) for part in node.comparators):
            self.generic_visit(node)

    def visit_Assign(self, node):
        """``layer = self.layer``."""
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_NamedExpr(self, node):
        """``(layer := self.layer)``."""
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_For(self, node):
        """``for layer in self.layers``, enumerated, zipped or reversed too."""
        self._loop(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node):
        """The same in a comprehension."""
        self._loop(node.target, node.iter)
        self.generic_visit(node)

    def _comprehend(self, node):
        """Loops first: they stand behind what uses their names."""
        for part in node.generators:
            self.visit(part)
        self.generic_visit(node)

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehend

    def _bind(self, target, value):
        path = _path(value, self._local)
        if isinstance(target, ast.Name):
            self._local.pop(target.id, None)
            if path is not None and "weight" not in path.split("."):
                self._local[target.id] = path
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, other in zip(target.elts, value.elts, strict=False):
                self._bind(one, other)

    def _loop(self, target, over):
        called = getattr(over.func, "id", "") if isinstance(over, ast.Call) else ""
        if called == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            self._loop(target.elts[1], over.args[0])
        elif called == "zip" and isinstance(target, ast.Tuple):
            for one, other in zip(target.elts, over.args, strict=False):
                self._loop(one, other)
        elif called == "reversed":
            self._loop(target, over.args[0])
        else:
            self._bind(target, ast.Subscript(value=over, slice=ast.Constant(0), ctx=ast.Load()))


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
    waiting, seen, found = ["forward", "__call__"], set(), {}
    while waiting:
        name   = waiting.pop()
        method = inspect.getattr_static(kind, name, None)
        method = method.fget if isinstance(method, property) else getattr(method, "__func__", method)
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
            for layer in _members(module, path.split(".")):
                if layer in layers:
                    found.setdefault(layer, method)
    return found


def _members(module, path):
    """What a path may stand for: iterator of modules."""
    if not path:
        yield module
    elif path[0] == "*":
        for child in module.children():
            yield from _members(child, path[1:])
    else:
        child = getattr(module, "_modules", {}).get(path[0])
        if child is not None:
            yield from _members(child, path[1:])
