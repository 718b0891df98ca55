"""Which names a block of code binds itself, so that every other name is known to come from outside it."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

_NOT_SAID = frozenset({"ctx", "type_comment", "kind", "type_params", "returns", "annotation", "type_ignores"})

Imported = tuple[str, str, str | None, int]
"""`(kind, module, name, level)` of an import inside a body; kind is IMPORT or RUN."""

IMPORT = "import"
"""The reference is to what the import binds."""
RUN = "run"
"""The reference is to what executing the import does (top-level effects of the module)."""


@dataclass(slots=True, eq=False, repr=False)
class Scope:
    """One block on the way from a definition to a name: what it binds, and how names leave it."""

    kind: str
    bound: frozenset[str] | set[str] = frozenset()
    declared_global: frozenset[str] | set[str] = frozenset()
    imports: dict[str, Imported] = field(default_factory=dict)


FUNCTION, CLASS, COMPREHENSION = "function", "class", "comprehension"


_said_fields: dict[type, tuple[str, ...]] = {}


def said_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a kind of node that count: not positions, contexts, annotations and type comments."""
    fields = _said_fields.get(kind)
    if fields is None:
        fields = _said_fields[kind] = tuple(f for f in kind._fields if f not in _NOT_SAID)
    return fields


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes directly below a node in the fields that count."""
    found: list[object] = []
    for name in said_fields(type(node)):
        value = getattr(node, name, None)
        if value.__class__ is list:
            found.extend(value)
        elif value is not None:
            found.append(value)
    return [child for child in found if isinstance(child, ast.AST)]


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    """All parameters of a signature, the starred ones last."""
    starred = [a for a in (arguments.vararg, arguments.kwarg) if a]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def scope_of(kind: str, body: Iterable[ast.AST], arguments: ast.arguments | None = None) -> Scope:
    """The scope of a block, without looking into the functions and classes nested in it.

    An import that is the only binding of its name is kept apart: the name can be followed to the module
    it comes from without importing it.
    """
    collector = _Collector()
    for argument in parameters(arguments) if arguments else ():
        collector.bound[argument.arg] += 1
    collector.visit(body)
    own = {
        name for name in collector.bound if name not in collector.declared_global and name not in collector.nonlocals
    }
    imports = {name: source for name, source in collector.imports.items() if collector.bound[name] == 1 and name in own}
    return Scope(kind, own, collector.declared_global, imports)


class _Collector:
    """Gathers the bindings of one block."""

    def __init__(self) -> None:
        self.bound: Counter[str] = Counter()
        self.declared_global: set[str] = set()
        self.nonlocals: set[str] = set()
        self.imports: dict[str, Imported] = {}

    def visit(self, body: Iterable[ast.AST]) -> None:
        stack = list(body)
        while stack:
            node = stack.pop()
            handler = _HANDLERS.get(type(node))
            stack.extend(children(node) if handler is None else handler(self, node))

    def name(self, node: ast.Name) -> Iterable[ast.AST]:
        if type(node.ctx) is not ast.Load:
            self.bound[node.id] += 1
        return ()

    def leaf(self, _: ast.AST) -> Iterable[ast.AST]:
        return ()

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterable[ast.AST]:
        self.bound[node.name] += 1
        return [*node.decorator_list, *_defaults(node.args)]

    def class_(self, node: ast.ClassDef) -> Iterable[ast.AST]:
        self.bound[node.name] += 1
        return [*node.decorator_list, *node.bases, *(k.value for k in node.keywords)]

    def lambda_(self, node: ast.Lambda) -> Iterable[ast.AST]:
        return _defaults(node.args)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Iterable[ast.AST]:
        for inner in ast.walk(node):
            if type(inner) is ast.NamedExpr and isinstance(inner.target, ast.Name):
                self.bound[inner.target.id] += 1
        return [node.generators[0].iter]

    def global_(self, node: ast.Global) -> Iterable[ast.AST]:
        self.declared_global.update(node.names)
        return ()

    def nonlocal_(self, node: ast.Nonlocal) -> Iterable[ast.AST]:
        self.nonlocals.update(node.names)
        return ()

    def import_(self, node: ast.Import) -> Iterable[ast.AST]:
        for alias in node.names:
            bound, module = import_binding(alias)
            self.bound[bound] += 1
            self.imports[bound] = (IMPORT, module, None, 0)
        return ()

    def import_from(self, node: ast.ImportFrom) -> Iterable[ast.AST]:
        for alias in node.names:
            bound = alias.asname or alias.name
            self.bound[bound] += 1
            self.imports[bound] = (IMPORT, node.module or "", alias.name, node.level)
        return ()

    def handler(self, node: ast.ExceptHandler) -> Iterable[ast.AST]:
        if node.name:
            self.bound[node.name] += 1
        return children(node)

    def capture(self, node: ast.MatchAs | ast.MatchStar) -> Iterable[ast.AST]:
        if node.name:
            self.bound[node.name] += 1
        return children(node)

    def mapping(self, node: ast.MatchMapping) -> Iterable[ast.AST]:
        if node.rest:
            self.bound[node.rest] += 1
        return children(node)


def import_binding(alias: ast.alias) -> tuple[str, str]:
    """`(name bound, module it stands for)` of one clause of an `import` statement."""
    if alias.asname:
        return alias.asname, alias.name
    top = alias.name.split(".")[0]
    return top, top


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]


_HANDLERS: dict[type, Callable[..., Iterable[ast.AST]]] = {
    ast.Name: _Collector.name,
    ast.Constant: _Collector.leaf,
    ast.FunctionDef: _Collector.function,
    ast.AsyncFunctionDef: _Collector.function,
    ast.ClassDef: _Collector.class_,
    ast.Lambda: _Collector.lambda_,
    ast.ListComp: _Collector.comprehension,
    ast.SetComp: _Collector.comprehension,
    ast.DictComp: _Collector.comprehension,
    ast.GeneratorExp: _Collector.comprehension,
    ast.Global: _Collector.global_,
    ast.Nonlocal: _Collector.nonlocal_,
    ast.Import: _Collector.import_,
    ast.ImportFrom: _Collector.import_from,
    ast.ExceptHandler: _Collector.handler,
    ast.MatchAs: _Collector.capture,
    ast.MatchStar: _Collector.capture,
    ast.MatchMapping: _Collector.mapping,
}
