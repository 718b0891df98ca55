"""Whether importing a file only defines names that can be followed in its text, so that no more than these count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from jpipe.fingerprint.source.scopes import DEFINITIONS, FUNCTION, FUNCTIONS, import_binding, scope_of

OWN, BASE = "<own>", "<base>"
_REACHES_FAR = frozenset(
    {"globals", "locals", "vars", "exec", "eval", "__import__", "import_module", "setattr", "delattr"}
    | {"__subclasses__", "__init_subclass__", "__set_name__", "__mro_entries__", "__prepare__"}
)
"""Names with which code gets at what its text does not name."""
_SIMPLE = (
    *(ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass, ast.Assert, ast.Assign, ast.AnnAssign, ast.AugAssign),
    *(ast.Expr, ast.Delete, ast.Raise),
)
_LITERALS = (
    *(ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.BinOp, ast.BoolOp, ast.UnaryOp),
    *(ast.Compare,),
)


class Act(NamedTuple):
    """Something imported that is called, changed or derived from while the file itself is imported."""

    name: str
    """What the import binds."""
    given: tuple[str, ...]
    """Names of imported things that it is given; `OWN` for code of this file, `BASE` where a class derives from it."""


def acts_of(module: ast.Module) -> tuple[Act, ...] | None:
    """What importing a file does beside defining names; None where its text does not name all that counts.

    Calls of the file's own functions and classes are of that kind. What is done to the file's own data by its name is
    followed with the name and left out.
    """
    nodes = list(ast.walk(module))
    if any(map(_reaches_far, nodes)) or not all(map(_is_plain_statement, module.body)):
        return None
    imported = _imported_names(module)
    data = scope_of(FUNCTION, module.body).bound - imported
    code = {node.name for node in nodes if isinstance(node, DEFINITIONS)}
    # A base of the user's own hears of a class in `__init_subclass__` alone, which has been looked for.
    bases = [base for node in nodes if isinstance(node, ast.ClassDef) for base in node.bases]
    found = {Act(root, (BASE,)): None for base in bases if (root := _root(base)) in imported and root}
    for actor, given in _at_work(module.body):
        root = _root(actor)
        if root in imported:
            kinds = {OWN if name in code else name for name in given if name in code or name in imported}
            found[Act(str(root), tuple(sorted(kinds)))] = None
        elif root in code or root == "" or (root in data and isinstance(actor, ast.Name)):
            return None
    return tuple(found)


def imports_anywhere(module: ast.Module) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    """`(module, level, names)` of each import in a file, those inside functions included."""
    found: dict[tuple[str, int, tuple[str, ...]], None] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom):
            found[node.module or "", node.level, tuple(alias.name for alias in node.names)] = None
        elif isinstance(node, ast.Import):
            found |= {(alias.name, 0, ()): None for alias in node.names}
    return tuple(found)


def _reaches_far(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _REACHES_FAR
    if isinstance(node, ast.Attribute):
        return node.attr in _REACHES_FAR or (node.attr == "modules" and getattr(node.value, "id", "") == "sys")
    if isinstance(node, FUNCTIONS):
        return node.name in _REACHES_FAR
    if isinstance(node, ast.ClassDef):
        return bool(node.keywords)  # a metaclass, or what `__init_subclass__` gets
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
        return len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)
    return False


def _is_plain_statement(statement: ast.stmt) -> bool:
    if isinstance(statement, FUNCTIONS):
        return statement.name != "__getattr__"
    if isinstance(statement, ast.If):
        binds = any(isinstance(node, ast.NamedExpr) for node in ast.walk(statement.test))
        return not binds and all(map(_is_plain_statement, [*statement.body, *statement.orelse]))
    if isinstance(statement, ast.Try):
        handled = [inner for handler in statement.handlers for inner in handler.body]
        return all(map(_is_plain_statement, [*statement.body, *handled, *statement.orelse, *statement.finalbody]))
    return isinstance(statement, _SIMPLE)


def _imported_names(module: ast.Module) -> set[str]:
    """Names that the imports outside of functions bind."""
    nodes = _executed(module.body)
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {import_binding(alias)[0] if isinstance(node, ast.Import) else alias.asname or alias.name
            for node in imports for alias in node.names}  # fmt: skip


def _at_work(body: list[ast.stmt]) -> Iterator[tuple[ast.expr, list[str]]]:
    """What is called, changed or derived from, with the names that it is given."""
    for node in _executed(body):
        if isinstance(node, DEFINITIONS):
            yield from ((decorator, [node.name]) for decorator in node.decorator_list)
        elif isinstance(node, ast.Call):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield node.func, [inner.id for value in given for inner in ast.walk(value) if isinstance(inner, ast.Name)]
        elif isinstance(node, (ast.Assign, ast.Delete)):
            yield from ((t, []) for t in node.targets if isinstance(t, (ast.Attribute, ast.Subscript)))
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and isinstance(
            node.target, (ast.Attribute, ast.Subscript)
        ):
            yield node.target, []


def _executed(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes that run with the import: not the bodies of functions."""
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, FUNCTIONS):
            stack += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif not isinstance(node, ast.Lambda) and not (isinstance(node, ast.If) and _asks_for_main(node.test)):
            stack += ast.iter_child_nodes(node)


def _asks_for_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _root(node: ast.expr) -> str | None:
    """The name that an expression starts from; None for a literal, empty for anything else."""
    while True:
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred, ast.Await)):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Name):
            return node.id
        else:
            return None if isinstance(node, _LITERALS) else ""
