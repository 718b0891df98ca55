"""The outline of a source file: imports, what top-level statements bind and change, where definitions stand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.fingerprint.source.make_template import first_line
from jpipe.fingerprint.source.scopes import DEFINITIONS, FUNCTION, FUNCTIONS, import_binding, scope_of


class FromImport(NamedTuple):
    """`from module import original as bound, ...` at top level."""

    module: str
    level: int
    names: tuple[tuple[str, str], ...]
    """`(bound, original)`."""


class PlainImport(NamedTuple):
    """`import module as bound, ...` at top level."""

    names: tuple[tuple[str, str, bool], ...]
    """`(bound, module, whether renamed)`."""


class Statement(NamedTuple):
    """Any other top-level statement: which names it binds or mentions."""

    names: tuple[str, ...]
    number: int
    line: int


class Acted(NamedTuple):
    """An object whose state a top-level statement may change other than by binding a name."""

    sets: bool
    """True for an assignment to its attribute or item, False for a call."""
    root: str | None
    attributes: tuple[str, ...]
    arguments: tuple[str, ...]
    """Names of the call's arguments; `<lambda>` for a lambda among them."""


class Outline(NamedTuple):
    """The top level of a file. Plain values only, so that `marshal` can keep it."""

    top: tuple[tuple[str, tuple[Any, ...]], ...]
    """`(kind, fields)` of the three kinds of entries, in the file's order."""
    effects: tuple[tuple[tuple[tuple[Any, ...], ...], int], ...]
    """`(objects acted on, statement number)`."""
    bound: tuple[str, ...]
    lines: dict[str, int]
    """Line of the last top-level statement that binds a name."""
    functions: dict[tuple[int, str], tuple[int, str | None]]
    """`(first line, name)` to `(last line, class whose private names it sees)`."""
    classes: dict[str, tuple[tuple[int, int], ...]]
    """Qualified name to first and last lines, in the file's order."""


Entry = FromImport | PlainImport | Statement
ENTRIES: dict[str, type[FromImport | PlainImport | Statement]] = {
    "from": FromImport,
    "import": PlainImport,
    "statement": Statement,
}


def outline_of(module: ast.Module) -> Outline:
    """The outline of a parsed file."""
    functions: dict[tuple[int, str], tuple[int, str | None]] = {}
    classes: dict[str, tuple[tuple[int, int], ...]] = {}
    for node, qualified_name, class_name in _definitions(module.body, "", None):
        line, end = first_line(node), node.end_lineno or node.lineno
        if isinstance(node, ast.ClassDef):
            classes[qualified_name] = (*classes.get(qualified_name, ()), (line, end))
        else:
            functions.setdefault((line, node.name), (end, class_name))
    top, effects, lines = _top_level(module)
    bound = tuple(sorted(scope_of(FUNCTION, module.body).bound))
    return Outline(tuple(top), tuple(effects), bound, lines, functions, classes)


def _definitions(
    body: list[ast.stmt], prefix: str, class_name: str | None
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, str, str | None]]:
    """All definitions in statements, nested ones included, with qualified name and enclosing class."""
    for statement in body:
        if isinstance(statement, FUNCTIONS):
            yield statement, prefix + statement.name, class_name
            yield from _definitions(statement.body, f"{prefix}{statement.name}.<locals>.", class_name)
        elif isinstance(statement, ast.ClassDef):
            yield statement, prefix + statement.name, class_name
            yield from _definitions(statement.body, f"{prefix}{statement.name}.", statement.name)
        else:
            for block in _blocks(statement):
                yield from _definitions(block, prefix, class_name)


def _blocks(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements directly inside a compound statement."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(statement, field, None)
        if isinstance(block, list):
            yield block
    for field in ("handlers", "cases"):
        for inner in getattr(statement, field, ()):
            yield inner.body


def _top_level(module: ast.Module) -> tuple[list[Any], list[Any], dict[str, int]]:
    top: list[tuple[str, tuple[Any, ...]]] = []
    effects: list[tuple[tuple[tuple[Any, ...], ...], int]] = []
    lines: dict[str, int] = {}
    for number, statement in enumerate(module.body):
        for name in scope_of(FUNCTION, [statement]).bound:
            lines[name] = statement.lineno
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            top.append(_import_entry(statement))
        elif not _is_constant(statement):
            top.append(("statement", (tuple(sorted(_names(statement))), number, first_line(statement))))
            acted = [] if isinstance(statement, DEFINITIONS) else acted_on(statement)
            if acted:
                effects.append((tuple(map(tuple, acted)), number))
            if isinstance(statement, (ast.If, ast.Try)):
                top.extend(_import_entry(s) for s in ast.walk(statement) if isinstance(s, (ast.Import, ast.ImportFrom)))
    return top, effects, lines


def _import_entry(statement: ast.Import | ast.ImportFrom) -> tuple[str, tuple[Any, ...]]:
    if isinstance(statement, ast.ImportFrom):
        names = tuple((alias.asname or alias.name, alias.name) for alias in statement.names)
        return "from", (statement.module or "", statement.level, names)
    plain = tuple((import_binding(alias)[0], alias.name, bool(alias.asname)) for alias in statement.names)
    return "import", (plain,)


def _names(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement binds or mentions; of a definition only its own and its decorators'."""
    if isinstance(statement, DEFINITIONS):
        mentioned = {n.id for d in statement.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
        return mentioned | {statement.name}
    found = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, DEFINITIONS):
            found.add(node.name)
    return found


def acted_on(statement: ast.stmt) -> list[Acted]:
    """The objects whose state a top-level statement may change, other than by binding a name."""
    if isinstance(statement, ast.Expr):
        value = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        return [_called(value)] if isinstance(value, ast.Call) else []
    if isinstance(statement, (ast.Assign, ast.Delete)):
        return _assigned(statement.targets)
    if isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        return _assigned([statement.target])
    if isinstance(statement, ast.If) and _asks_for_main(statement.test):
        return []
    found = [a for block in _blocks(statement) for s in block if not isinstance(s, DEFINITIONS) for a in acted_on(s)]
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        found += [_called(i.context_expr) for i in statement.items if isinstance(i.context_expr, ast.Call)]
    return found


def _called(call: ast.Call) -> Acted:
    given = [*call.args, *(k.value for k in call.keywords)]
    names = [a.id for a in given if isinstance(a, ast.Name)]
    if any(isinstance(a, ast.Lambda) for a in call.args):
        names.append("<lambda>")
    return Acted(False, *_root(call.func), tuple(names))


def _assigned(targets: list[ast.expr]) -> list[Acted]:
    return [Acted(True, *_root(t), ()) for t in targets if isinstance(t, (ast.Attribute, ast.Subscript))]


def _root(node: ast.expr) -> tuple[str | None, tuple[str, ...]]:
    """The name an expression starts from, and the attributes up to its first call or subscript."""
    attributes: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        elif isinstance(node, (ast.Call, ast.Subscript)):
            attributes = []
            node = node.func if isinstance(node, ast.Call) else node.value
        elif isinstance(node, ast.Name):
            return node.id, tuple(reversed(attributes))
        else:
            return None, ()


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
