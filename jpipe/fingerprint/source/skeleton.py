"""Statements without the bodies of functions, and those bodies by the names of the functions."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.source.make_template import function_template, statement_template
from jpipe.fingerprint.source.scopes import COMPREHENSIONS, FUNCTIONS
from jpipe.fingerprint.source.template import Root, Template, Trait

__all__ = ["Said", "Skeleton", "skeleton_of"]

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Said(NamedTuple):
    """What some source says. Plain values only, so that `marshal` can keep it."""

    digest: bytes
    roots: tuple[Root, ...]
    """The names outside that it uses."""
    traits: int


class Skeleton(NamedTuple):
    """Statements taken apart."""

    bare: tuple[Any, ...]
    """What is said outside the bodies of functions: the fields of a `Said`."""
    bodies: tuple[tuple[str, tuple[Any, ...]], ...]
    """Qualified names of functions that are not inside others, with what they say."""

    def with_bodies(self, wanted: frozenset[str] | set[str]) -> Said:
        """What the statements say with the bodies of some functions."""
        said = [("", Said(*self.bare)), *((name, Said(*body)) for name, body in self.bodies if name in wanted)]
        digest = combine("skeleton", *(part for name, one in said for part in (name, one.digest)))
        roots = dict.fromkeys(root for _, one in said for root in one.roots)
        traits: int = Trait.NONE
        for _, one in said:
            traits |= one.traits
        return Said(digest, tuple(roots), traits)


def skeleton_of(body: Sequence[ast.stmt]) -> Skeleton:
    """Top-level statements, taken apart."""
    bare = [_said(statement_template(_bare(statement))) for statement in body]
    digest, roots, traits = Skeleton(
        (b"", (), 0), tuple((str(k), tuple(one)) for k, one in enumerate(bare))
    ).with_bodies({str(k) for k in range(len(bare))})
    functions = tuple(
        (name, tuple(_said(function_template(node, class_name))))
        for name, node, class_name in _functions(body, "", None)
    )
    return Skeleton((digest, roots, traits), functions)


def _said(template: Template) -> Said:
    digest = combine(template.base, *map(repr, template.references), *map(repr, template.environment))
    roots = tuple(dict.fromkeys(root for root, _, _ in template.references))
    return Said(digest, roots, template.traits & Trait.READ)


def _functions(
    body: Sequence[ast.AST], prefix: str, class_name: str | None
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef, str | None]]:
    for statement in body:
        if isinstance(statement, FUNCTIONS):
            yield prefix + statement.name, statement, class_name
        elif isinstance(statement, ast.ClassDef):
            yield from _functions(statement.body, f"{prefix}{statement.name}.", statement.name)
        else:
            for block in _BLOCKS:
                yield from _functions(getattr(statement, block, None) or (), prefix, class_name)


def _bare(node: Any) -> Any:
    """A copy of a statement in which functions have no bodies but are still functions, generators or coroutines."""
    found = copy.copy(node)
    if isinstance(node, FUNCTIONS):
        is_generator = any(map(_yields, node.body))
        found.body = [ast.Expr(ast.Yield())] if is_generator else [ast.Pass()]
        return ast.fix_missing_locations(ast.copy_location(found, node))
    for block in _BLOCKS:
        inner = getattr(node, block, None)
        if isinstance(inner, list):
            setattr(found, block, [_bare(statement) for statement in inner])
    return found


def _yields(node: ast.AST) -> bool:
    if isinstance(node, (ast.Yield, ast.YieldFrom)):
        return True
    if isinstance(node, (*FUNCTIONS, ast.Lambda, ast.ClassDef, *COMPREHENSIONS)):
        return False
    return any(map(_yields, ast.iter_child_nodes(node)))
