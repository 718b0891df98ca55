"""Find, without running it, where a pipeline function uses a step's result as if it were computed already.

The layout finds the first such place and stops; this finds them all, also in branches that the default parameters do
not take. What a name stands for is looked up in the function's own globals, so imported steps are known too.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import jpipe
from jpipe.define.layout import parts_of
from jpipe.define.step import Step
from jpipe.errors import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jpipe.define.pipeline import Pipeline

__all__ = ["Finding", "findings"]

_READS = (len, str, int, float, bool, repr, sum, min, max, sorted, any, all, print, abs, round, iter, next, format)
"""Builtins that look at a value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the layout would refuse.

    Parameters
    ----------
    location
        The user's line.
    text
        What is done with which result.
    hint
        What to do instead.
    """

    location: Location
    text: str
    hint: str


class Kind(Enum):
    """What an expression stands for while the pipeline is laid out."""

    VALUE = "value"
    """A plain value."""
    RESULT = "result"
    """A result of a step: not computed yet."""
    PARTS = "parts"
    """A result whose annotation says how many parts it has: it can be unpacked."""
    BOX = "box"
    """A list, tuple or dict with results in it: itself a plain value."""


def findings(pipeline: Pipeline[..., Any]) -> list[Finding]:
    """All places in a pipeline's function that its layout would refuse, from top to bottom."""
    function = pipeline.function
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return []
    body = next((node for node in tree.body if isinstance(node, ast.FunctionDef)), None)
    if body is None:
        return []
    reader = _Reader(function.__globals__, pipeline.file, first - 1)
    for statement in body.body:
        reader.visit(statement)
    return sorted(dict.fromkeys(reader.found), key=lambda finding: finding.location.line)


class _Reader(ast.NodeVisitor):
    """Walks the statements in order and keeps what each local name stands for."""

    def __init__(self, names: dict[str, Any], file: str, offset: int) -> None:
        self._globals = names
        self._file = file
        self._offset = offset
        self._kinds: dict[str, Kind] = {}
        self.found: list[Finding] = []

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self._refuse_result(node.target, "is calculated with", "calculate in a step")

    def visit_For(self, node: ast.For) -> None:
        self._iterated(node.iter, node.target)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node, node.elt)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node, node.elt)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node, node.elt)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node, node.key, node.value)

    def visit_If(self, node: ast.If) -> None:
        self._condition(node.test)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.visit(node.body)
        self.visit(node.orelse)

    def visit_Assert(self, node: ast.Assert) -> None:
        self._condition(node.test)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for value in node.values:
            self._condition(value)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._condition(node.operand)
        else:
            self._refuse_result(node.operand, "is calculated with", "calculate in a step")
            self.visit(node.operand)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        for side in (node.left, node.right):
            self._refuse_result(side, "is calculated with", "calculate in a step")
            self.visit(side)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if not all(isinstance(operator, (ast.Is, ast.IsNot)) for operator in node.ops):
            for side in sides:
                self._refuse_result(side, "is compared", "compare in a step")
        for side in sides:
            self.visit(side)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._refuse_result(node.value, f"is asked for .{node.attr}", "move the expression into a step")
        self.visit(node.value)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if isinstance(node.slice, ast.Slice):
            self._refuse_result(node.value, "is sliced", "take the part in a step, or index with one number or key")
        self._refuse_result(node.slice, "is an index", "index in a step")
        self.generic_visit(node)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> None:
        self._refuse_result(node.value, "is put into a text", "build the text in a step")
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self._refuse_result(node.func, "is called", "call it in a step")
        called = self._meaning(node.func)
        if any(called is one for one in _READS):
            for argument in node.args:
                self._refuse_result(argument, f"is given to {called.__name__}()", f"call {called.__name__}() in a step")
        self.generic_visit(node)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, *parts: ast.expr
    ) -> None:
        for generator in node.generators:
            self._iterated(generator.iter, generator.target)
            for condition in generator.ifs:
                self._condition(condition)
        for part in parts:
            self.visit(part)

    def _condition(self, node: ast.expr) -> None:
        self._refuse_result(node, "is a condition", "decide in a step, or on a parameter of the pipeline")
        self.visit(node)

    def _iterated(self, node: ast.expr, target: ast.expr) -> None:
        kind = self._kind(node)
        if kind is Kind.RESULT:
            hint = "use jpipe.map over its items, or annotate what the step returns"
            self._refuse_result(node, "is iterated over", hint)
        self.visit(node)
        inside = Kind.RESULT if kind in (Kind.BOX, Kind.PARTS) else Kind.VALUE
        for name in _names(target):
            self._kinds[name] = inside if self._may_hold(node, name, target) else Kind.VALUE

    def _may_hold(self, node: ast.expr, name: str, target: ast.expr) -> bool:
        """Whether iterating `node` may bind a result to `name`: zip and enumerate say it by position."""
        if not (isinstance(node, ast.Call) and isinstance(target, ast.Tuple)):
            return True
        called = self._meaning(node.func)
        sources = node.args if called is zip else [None, *node.args] if called is enumerate else []
        pairs = zip(target.elts, sources, strict=False)
        return any(
            name in _names(part) and source is not None and self._kind(source) is Kind.BOX for part, source in pairs
        )

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        kind = self._kind(value)
        if isinstance(target, ast.Name):
            self._kinds[target.id] = kind
        elif isinstance(target, (ast.Tuple, ast.List)):
            if kind is Kind.RESULT:
                self._refuse_result(value, "is unpacked", "annotate what the step returns: -> tuple[A, B]")
            values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
            for index, part in enumerate(target.elts):
                if len(values) == len(target.elts):
                    self._bind(part, values[index])
                else:
                    for name in _names(part):
                        self._kinds[name] = Kind.VALUE if kind is Kind.VALUE else Kind.RESULT
        elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and kind is not Kind.VALUE:
            self._kinds[target.value.id] = Kind.BOX

    def _kind(self, node: ast.expr | None) -> Kind:
        match node:
            case ast.Name(id=name):
                return self._kinds.get(name, Kind.VALUE)
            case ast.Call():
                return self._kind_of_call(node)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return self._box(parts)
            case ast.Dict(values=parts):
                return self._box(parts)
            case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part) | ast.DictComp(value=part):
                return self._box([part])
            case ast.Subscript(value=value, slice=part):
                inner = self._kind(value)
                kept = inner is Kind.VALUE or (inner is Kind.BOX and isinstance(part, ast.Slice))
                return inner if kept else Kind.RESULT
            case ast.IfExp(body=one, orelse=other):
                return max(self._kind(one), self._kind(other), key=list(Kind).index)
            case ast.NamedExpr(value=value) | ast.Starred(value=value):
                return self._kind(value)
            case _:
                return Kind.VALUE

    def _box(self, parts: list[ast.expr]) -> Kind:
        return Kind.VALUE if all(self._kind(part) is Kind.VALUE for part in parts) else Kind.BOX

    def _kind_of_call(self, node: ast.Call) -> Kind:
        called = self._meaning(node.func)
        if isinstance(called, Step):
            return Kind.RESULT if parts_of(called) is None else Kind.PARTS
        if called is getattr(jpipe, "map", None):
            return Kind.RESULT
        if called in (zip, enumerate, list, tuple, dict, reversed):
            return Kind.BOX if any(self._kind(one) is not Kind.VALUE for one in node.args) else Kind.VALUE
        return Kind.VALUE

    def _meaning(self, node: ast.expr) -> Any:
        """The object that an expression of names and attributes stands for, or None."""
        if isinstance(node, ast.Name):
            if node.id in self._kinds:
                return None
            return self._globals.get(node.id, getattr(builtins, node.id, None))
        if isinstance(node, ast.Attribute):
            owner = self._meaning(node.value)
            return None if owner is None else inspect.getattr_static(owner, node.attr, None)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "options":
            return self._meaning(node.func.value)
        return None

    def _refuse_result(self, node: ast.expr, what: str, hint: str) -> None:
        if self._kind(node) in (Kind.RESULT, Kind.PARTS):
            location = Location(self._file, node.lineno + self._offset)
            text = f"`{ast.unparse(node)}` {what}, but it is not computed yet while the pipeline is laid out"
            self.found.append(Finding(location, text, hint))


def _names(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id
