"""What one source file says: its top-level statements, and the templates of its definitions, made when they are asked for."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from jpipe.fingerprint.scopes import DEFINITIONS, FUNCTION, FUNCTIONS, import_binding, scope_of
from jpipe.fingerprint.template import ClassTemplate, Template
from jpipe.fingerprint.writer import (
    block_digest,
    class_template,
    first_line,
    function_template,
    statement_template,
)


_DEEP = 100_000
"""Stack frames."""


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


Entry = FromImport | PlainImport | Statement
_ENTRIES: dict[str, type[FromImport | PlainImport | Statement]] = {
    "from": FromImport,
    "import": PlainImport,
    "statement": Statement,
}


class SourceFile:
    """One parsed file. What was worked out before is given as `known` and is added to as more is asked for."""

    def __init__(self, text: Callable[[], bytes | str], known: dict[Any, Any] | None = None) -> None:
        self._text = text
        self._tree: _Tree | None = None
        self.known: dict[Any, Any] = {} if known is None else known
        self.grown = False
        """True when `known` holds more than what was given."""
        self.outline = Outline(*self._ask("outline", lambda: tuple(_outline(self.tree.module))))
        self.top: tuple[Entry, ...] = tuple(_ENTRIES[kind](*fields) for kind, fields in self.outline.top)
        self.bound = frozenset(self.outline.bound)
        self.effects = [(tuple(Acted(*a) for a in acted), number) for acted, number in self.outline.effects]
        self._templates: dict[Any, Any] = {}

    @property
    def tree(self) -> _Tree:
        """The syntax tree, parsed when first needed."""
        if self._tree is None:
            self._tree = _Tree(_parse(self._text()))
        return self._tree

    def _ask(self, key: Any, work_out: Callable[[], Any]) -> Any:
        if key not in self.known:
            try:
                self.known[key] = work_out()
            except RecursionError:
                self.known[key] = _with_deep_stack(work_out)
            self.grown = True
        return self.known[key]

    def function(self, line: int, name: str) -> Template | None:
        """The template of the function that starts on `line` (its first decorator's line)."""
        return self._template(("def", line, name), lambda: self.tree.functions.get((line, name)))

    def lambdas(self, line: int) -> list[Template]:
        """The templates of the lambdas that start on `line`, left to right."""
        key = ("lambda", line)
        found = self._templates.get(key)
        if found is None:
            raw = self._ask(
                key, lambda: tuple(tuple(function_template(*pair)) for pair in self.tree.lambdas.get(line, ()))
            )
            found = self._templates[key] = [Template(*r) for r in raw]
        return found

    def classes(self, qualified_name: str) -> list[ClassTemplate]:
        """All definitions of a class under that name, in the file's order."""
        key = ("class", qualified_name)
        found = self._templates.get(key)
        if found is None:
            raw = self._ask(
                key, lambda: tuple(map(_plain_class, map(class_template, self.tree.classes.get(qualified_name, ()))))
            )
            found = self._templates[key] = [_class_from_plain(r) for r in raw]
        return found

    def statement(self, number: int) -> Template:
        """The template of a top-level statement."""
        key = ("statement", number)
        found = self._templates.get(key)
        if found is None:
            raw = self._ask(key, lambda: tuple(statement_template(self.tree.module.body[number])))
            found = self._templates[key] = Template(*raw)
        return found

    @property
    def digest(self) -> bytes:
        """Digest of the whole file without comments, formatting and docstrings."""
        return self._ask("digest", lambda: block_digest(self.tree.module.body))

    def _template(self, key: Any, node: Callable[[], _FunctionNode | None]) -> Template | None:
        if key in self._templates:
            return self._templates[key]

        def work_out() -> tuple[Any, ...] | None:
            found = node()
            return None if found is None else tuple(function_template(*found))

        raw = self._ask(key, work_out)
        template = self._templates[key] = None if raw is None else Template(*raw)
        return template


_FunctionNode = tuple[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, str | None]
"""A function's node and the class whose private names it sees."""


def _plain_class(template: ClassTemplate) -> tuple[Any, ...]:
    statements = tuple((name, tuple(t)) for name, t in template.statements)
    return tuple(template._replace(head=tuple(template.head), statements=statements))  # type: ignore[arg-type]


def _class_from_plain(raw: tuple[Any, ...]) -> ClassTemplate:
    template = ClassTemplate(*raw)
    return template._replace(
        head=Template(*template.head), statements=tuple((name, Template(*t)) for name, t in template.statements)
    )


class _Tree:
    """The nodes of a parsed file by what live objects know of them."""

    def __init__(self, module: ast.Module) -> None:
        self.module = module
        self.functions: dict[tuple[int, str], _FunctionNode] = {}
        self.classes: dict[str, list[ast.ClassDef]] = {}
        self._lambdas: dict[int, list[_FunctionNode]] | None = None
        for node, qualified_name, class_name in _definitions(module.body, "", None):
            if isinstance(node, ast.ClassDef):
                self.classes.setdefault(qualified_name, []).append(node)
            else:
                self.functions.setdefault((first_line(node), node.name), (node, class_name))

    @property
    def lambdas(self) -> dict[int, list[_FunctionNode]]:
        """The lambdas by line. Found on demand: unlike definitions they hide anywhere in expressions."""
        if self._lambdas is None:
            self._lambdas = {}
            for node, class_name in _lambdas(self.module):
                self._lambdas.setdefault(node.lineno, []).append((node, class_name))
        return self._lambdas


def _with_deep_stack(work_out: Callable[[], Any]) -> Any:
    """Again with room for an expression of thousands of terms; calls between Python functions take no C stack."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(max(usual, _DEEP))
    try:
        return work_out()
    finally:
        sys.setrecursionlimit(usual)


def _parse(text: bytes | str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # nothing of a file that does not parse is running


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


def _lambdas(module: ast.AST) -> Iterator[tuple[ast.Lambda, str | None]]:
    """All lambdas in the order of the text, each with the class around it."""
    stack: list[tuple[ast.AST, str | None]] = [(module, None)]
    while stack:
        node, class_name = stack.pop()
        if isinstance(node, ast.Lambda):
            yield node, class_name
        inner = node.name if isinstance(node, ast.ClassDef) else class_name
        stack.extend([(child, inner) for child in ast.iter_child_nodes(node)][::-1])


# the top level


def _outline(module: ast.Module) -> Outline:
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
    bound = tuple(sorted(scope_of(FUNCTION, module.body).bound))
    return Outline(tuple(top), tuple(effects), bound, lines)


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
