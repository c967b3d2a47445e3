# SPDX-License-Identifier: BSD-2-Clause
"""Small faults in a Python source: one operator, constant, reset value, condition or statement is another or gone."""

import ast
import re
from dataclasses import dataclass

COMPARE  = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "in": "not in", "not in": "in",
    "is": "is not", "is not": "is"}
OPERATOR = {"+": "-", "-": "+", "//": "*", "<<": ">>", ">>": "<<", "&": "|", "|": "&", "^": "|"}
SYMBOL   = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.In: "in",
    ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not", ast.Add: "+", ast.Sub: "-", ast.FloorDiv: "//",
    ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.And: "and",
    ast.Or: "or"}
SIZES    = {"Signal", "Array", "Memory", "log2", "range", "Parameter", "Field", "Word", "SyncFIFO"}  # widths, texts
TEXTS    = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
ASSIGNS  = {"eq", "NextValue"}
BOUNDS   = {"initial", "dtype", "copy"}  # of numpy's reductions, which another value only widens; of what is the same


@dataclass(frozen=True)
class Mutant:
    """One change of a source.

    Attributes
    ----------
    kind : str
    line : int
    before, after : str
        Of the text from `start` to `end`.
    """

    kind: str
    line: int
    before: str
    after: str
    start: int
    end: int

    def apply(self, text):
        """The changed source."""
        return text[:self.start] + self.after + text[self.end:]


def called(node):
    """Name of what a call calls."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


class Finder(ast.NodeVisitor):
    """Collects the mutants of a source in `found`."""

    def __init__(self, text):
        self._text   = text
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._lines = text.split("\n")
        self.found  = []

    def _place(self, line, column):
        """Index of a place that `ast` gives in bytes of a line."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())

    def _span(self, node):
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def _add(self, kind, node, after, span=None):
        start, end = span or self._span(node)
        self.found.append(Mutant(kind, node.lineno, self._text[start:end], after, start, end))

    def _between(self, kind, left, right, operator, other):
        """Another operator between two expressions."""
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(rf"(?<![\w<>=!/*&|]){re.escape(operator)}(?![\w<>=/*&|])", self._text[start:end])
        if found:
            self._add(kind, left, other, (start + found.start(), start + found.end()))

    def visit(self, node):
        if isinstance(node, TEXTS) and not isinstance(node, ast.Raise):
            return
        super().visit(node)

    def visit_Raise(self, node):
        self._add("no error", node, "pass")

    def visit_FunctionDef(self, node):
        if node.name != "__repr__":
            for each in node.body:  # neither decorators nor defaults nor annotations
                self.visit(each)

    def visit_ClassDef(self, node):
        for each in node.body:
            self.visit(each)

    def visit_keyword(self, node):
        if node.arg not in BOUNDS:
            self.visit(node.value)

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node):
        symbol = SYMBOL[type(node.ops[0])]
        self._between("compare", node.left, node.comparators[0], symbol, COMPARE[symbol])
        self.generic_visit(node)

    def visit_BinOp(self, node):
        symbol = SYMBOL.get(type(node.op))
        if symbol in OPERATOR and not isinstance(node.left, ast.Constant | ast.JoinedStr):
            self._between("operator", node.left, node.right, symbol, OPERATOR[symbol])
        if symbol in ("&", "|"):  # one term less: of a handshake, or of what is refused
            for kept in (node.left, node.right):
                self._add("term", node, ast.get_source_segment(self._text, kept))
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        symbol = SYMBOL[type(node.op)]
        self._between("boolean", node.values[0], node.values[1], symbol, {"and": "or", "or": "and"}[symbol])
        self.generic_visit(node)

    def visit_If(self, node):
        self._negate(node.test, "not ({})")
        self.generic_visit(node)

    visit_IfExp = visit_While = visit_If

    def _negate(self, test, form):
        self._add("condition", test, form.format(ast.get_source_segment(self._text, test)))

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node.value, ast.Call):
            self._add("no statement", node, "pass")
        self.generic_visit(node)

    def visit_Call(self, node):
        name = called(node)
        if name in ("If", "Elif"):
            self._negate(node.args[0], "~({})")
        if name in ASSIGNS:
            self._add("no assignment", node, "[]")
        if name in SIZES:
            for each in node.keywords:
                if each.arg == "reset" and isinstance(each.value, ast.Constant):
                    self._constant("reset", each.value)
            return
        self.generic_visit(node)

    def visit_Constant(self, node):
        self._constant("constant", node)

    def _constant(self, kind, node):
        if type(node.value) is int:
            self._add(kind, node, "0" if node.value == 1 else str(node.value + 1))
        elif type(node.value) is bool:
            self._add(kind, node, str(not node.value))


def mutants_of(text):
    """All mutants of a source, in the order of their places."""
    finder = Finder(text)
    finder.visit(ast.parse(text))
    return sorted(set(finder.found), key=lambda each: (each.start, each.end, each.after))
