"""Writes the syntax tree of a definition as tokens, with numbered references to what is outside it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

from jpipe.fingerprint.parts import BlindSpot
from jpipe.fingerprint.source.scopes import (
    CLASS,
    COMPREHENSION,
    FUNCTION,
    IMPORT,
    RUN,
    Imported,
    Scope,
    parameters,
    said_fields,
    scope_of,
)
from jpipe.fingerprint.source.template import Blind, EnvironmentRead, Reference, Root, Trait

_ANY_ANNOTATION = Trait.ANNOTATIONS | Trait.FIELDS
READING = {
    "__module__": Trait.NAMES,
    "__qualname__": Trait.NAMES,
    "__doc__": Trait.DOCS,
    "__annotations__": _ANY_ANNOTATION,
    "__dataclass_fields__": Trait.FIELDS,
    **dict.fromkeys(("getsource", "getsourcelines", "__code__", "co_firstlineno"), Trait.READS_SOURCE),
    "__subclasses__": Trait.SUBCLASSES,
}
"""Attributes with which code reads of other code what it does not do."""
READING_CALLS = {
    "getdoc": Trait.DOCS,
    "fields": Trait.FIELDS,
    "signature": Trait.ANNOTATIONS,
    "getfullargspec": Trait.ANNOTATIONS,
    "get_type_hints": _ANY_ANNOTATION,
    "get_annotations": _ANY_ANNOTATION,
    **READING,
}
"""The same with functions of the standard library, wherever they are imported from."""
_EVALUATING = frozenset({"eval", "exec", "globals"})
_BLOCKS = frozenset({"body", "orelse", "finalbody"})
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_LONGEST_STRING_SEARCHED = 20_000


class Writer:
    """One definition as a sequence of tokens.

    Attributes
    ----------
    handlers
        By kind of node: what writes it in another way than field by field.
    """

    handlers: ClassVar[Mapping[type, Callable[..., None]]] = {}

    def __init__(self, class_name: str | None = None, scopes: Iterable[Scope] = ()) -> None:
        self.tokens: list[str] = []
        self.docs: list[str] = []
        self.annotations: list[str] = []
        self.references: list[Reference] = []
        self.numbers: dict[tuple[Root, tuple[str, ...]], int] = {}
        self.scopes = list(scopes)
        self.traits: int = Trait.NONE
        self.words: set[str] = set()
        self.annotation_names: set[str] = set()
        self.environment: list[EnvironmentRead] = []
        self.blind: list[Blind] = []
        self.class_name = class_name

    # references

    def refer(self, root: Root, attributes: tuple[str, ...] = (), called: bool = False) -> int:
        """Write a reference to something outside; the same thing gets the same number."""
        key = (root, attributes)
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.references)
            self.references.append((root, attributes, called))
        elif not called:
            self.references[number] = (root, attributes, False)
        self.tokens.append(f"\0G{number}")
        return number

    def outside(self, name: str) -> Root | None:
        """Where `name` comes from when it is not bound inside the definition, else None."""
        scopes = self.scopes
        for depth in range(len(scopes) - 1, -1, -1):
            scope = scopes[depth]
            if name in scope.declared_global:
                return self._mangled(name)
            if name in scope.bound and (scope.kind != CLASS or depth == len(scopes) - 1):
                return scope.imports.get(name)
        return self._mangled(name)

    def _mangled(self, name: str) -> str:
        if self.class_name and name.startswith("__") and not name.endswith("__"):
            return "_" + self.class_name.lstrip("_") + name
        return name

    def dotted(self, node: ast.expr) -> tuple[Root, tuple[str, ...]] | None:
        """`a.b.c` (or `__import__("a").b`) as root and attributes when it starts outside, else None."""
        attributes: list[str] = []
        while type(node) is ast.Attribute:
            attributes.append(node.attr)
            node = node.value
        root: Root | None = None
        if type(node) is ast.Name:
            root = self.outside(node.id)
        elif type(node) is ast.Call and type(node.func) is ast.Name and node.func.id == "__import__":
            module = text_of(node.args[0]) if len(node.args) == 1 and not node.keywords else None
            root = (IMPORT, module.split(".")[0], None, 0) if module else None
        return None if root is None else (root, tuple(reversed(attributes)))

    # nodes

    def write(self, node: ast.AST) -> None:
        handler = self.handlers.get(type(node))
        if handler is None:
            self.generic(node)
        else:
            handler(self, node)

    def write_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.write(node)

    def block(self, body: Sequence[ast.AST]) -> None:
        """Statements without those that do nothing."""
        for statement in body:
            if not does_nothing(statement):
                self.write(statement)

    def generic(self, node: ast.AST) -> None:
        tokens = self.tokens
        tokens.append(type(node).__name__)
        for field in said_fields(type(node)):
            value = getattr(node, field, None)
            if value is None:
                continue
            if isinstance(value, list):
                if value:
                    self._list(field, value)
            elif isinstance(value, ast.AST):
                tokens.append(field)
                self.write(value)
            else:
                tokens.append(f"{field}={value!r}")

    def _list(self, field: str, values: list[object]) -> None:
        self.tokens.append(field + "[")
        for value in values:
            if not isinstance(value, ast.AST):
                self.tokens.append(repr(value))
            elif field not in _BLOCKS or not does_nothing(value):
                self.write(value)
        self.tokens.append("]")

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if type(value) is int:
            self.tokens.append(f"C:int:{value:x}")  # repr refuses integers of more than 4300 digits
            return
        self.tokens.append(f"C:{type(value).__name__}:{value!r}")
        if isinstance(value, str) and len(value) < _LONGEST_STRING_SEARCHED:
            self.words.update(_IDENTIFIER.findall(value))

    def name(self, node: ast.Name | ast.Attribute, called: bool = False) -> None:
        """A name or attribute chain: a numbered reference when it starts outside."""
        chain = self.dotted(node)
        if chain is not None:
            self._outside_name(node, *chain, called)
        elif type(node) is ast.Name:
            self.tokens.append("N:" + node.id)
            if self.scopes and self.scopes[-1].kind == CLASS and type(node.ctx) is ast.Load:
                self.refer(node.id, (), called)  # a name not yet bound in a class body is looked up outside
        else:
            assert isinstance(node, ast.Attribute)
            self.notice(node.attr, READING)
            self.tokens.append("A:" + node.attr)
            self.write(node.value)

    def _outside_name(
        self, node: ast.Name | ast.Attribute, root: Root, attributes: tuple[str, ...], called: bool
    ) -> None:
        if isinstance(root, str) and root in _EVALUATING and not attributes:
            self.traits |= Trait.DYNAMIC
            if root != "globals" and called:
                self.see_not(BlindSpot.EVALUATED, root, node)
        if (root == "sys" or root == (IMPORT, "sys", None, 0)) and attributes[:1] == ("modules",):
            self.traits |= Trait.DYNAMIC
        last = root if isinstance(root, str) else root[2]
        for word in (*attributes, last) if last else attributes:
            self.notice(word, READING_CALLS)
        self.refer(root, attributes, called)
        if (
            self.scopes
            and self.scopes[-1].kind == CLASS
            and type(node) is ast.Name
            and node.id in self.scopes[-1].bound
        ):
            self.tokens.append("N:" + node.id)

    def notice(self, word: str, reading: dict[str, int]) -> None:
        self.traits |= reading.get(word, Trait.NONE)

    def see_not(self, spot: BlindSpot, written: str, node: ast.expr | ast.stmt) -> None:
        self.blind.append((spot.value, written[:80], node.lineno))

    def assign(self, node: ast.Assign) -> None:
        self.tokens.append("Assign[")
        self.write_all(node.targets)
        self.tokens.append("]=")
        self.write(node.value)

    def annotated_assignment(self, node: ast.AnnAssign) -> None:
        tokens = self.tokens
        if self.scopes and self.scopes[-1].kind == CLASS:
            tokens.append("CA")  # class-level annotations are data: dataclasses, pydantic, attrs read them
            self.write(node.target)
            self.field(node)
            if node.value is not None:
                self.write(node.value)
        elif node.value is not None:
            tokens.append("Assign[")
            self.write(node.target)
            tokens.append("]=")
            self.write(node.value)
        elif type(node.target) is not ast.Name:
            self.write(node.target)

    def field(self, node: ast.AnnAssign) -> None:
        """The annotation of a name in the body of a class."""
        self.tokens.append(ast.unparse(node.annotation))
        for name in self.evaluated_annotation(node.annotation):
            root = self.outside(name)
            if root is not None:
                self.refer(root)

    def evaluated_annotation(self, annotation: ast.expr) -> Iterator[str]:
        """The names in an annotation that something may evaluate, quoted ones too."""
        for node in ast.walk(annotation):
            if type(node) is ast.Constant and type(node.value) is str:
                try:
                    inner = ast.parse(node.value, mode="eval").body
                except (SyntaxError, ValueError):
                    continue
                yield from self.evaluated_annotation(inner)
            elif type(node) is ast.Name:
                yield node.id

    def import_(self, node: ast.Import | ast.ImportFrom) -> None:
        self.tokens.append("Import")
        from_module = isinstance(node, ast.ImportFrom)
        module, level = (node.module or "", node.level) if isinstance(node, ast.ImportFrom) else ("", 0)
        for alias in node.names:
            bound = alias.asname or (alias.name if from_module else alias.name.split(".")[0])
            source: Imported = (RUN, module, alias.name, level) if from_module else (RUN, alias.name, None, 0)
            if self.scopes and bound in self.scopes[-1].imports:
                self.refer(source)  # what it binds is followed where it is used; here it runs the module
            else:
                self.tokens.append(f"{bound}<-{module}:{alias.name}")
                self.refer((IMPORT, *source[1:]))

    # definitions

    def arguments(self, arguments: ast.arguments, with_defaults: bool) -> None:
        tokens = self.tokens
        kinds: list[tuple[str, list[ast.arg]]] = [
            ("p", arguments.posonlyargs),
            ("a", arguments.args),
            ("*", [arguments.vararg] if arguments.vararg else []),
            ("k", arguments.kwonlyargs),
            ("**", [arguments.kwarg] if arguments.kwarg else []),
        ]
        for kind, group in kinds:
            tokens.extend(f"{kind}:{argument.arg}" for argument in group)
        tokens.append(f"d{len(arguments.defaults)}:{[d is not None for d in arguments.kw_defaults]}")
        for argument in parameters(arguments):
            if argument.annotation is not None:
                self._annotation(argument.arg + ":", argument.annotation)
        if with_defaults:
            self.write_all(arguments.defaults)
            self.write_all(d for d in arguments.kw_defaults if d is not None)

    def _annotation(self, prefix: str, annotation: ast.expr) -> None:
        self.annotations.append(prefix + ast.unparse(annotation))
        self.annotation_names.update(n.id for n in ast.walk(annotation) if type(n) is ast.Name)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, root: bool = False) -> None:
        """A nested function, or the definition that the template is of (whose name and decorators do not count)."""
        self.tokens.append(type(node).__name__)
        if not root:
            self.tokens.append("name=" + node.name)
            self.write_all(node.decorator_list)
        self.arguments(node.args, with_defaults=not root)
        if node.returns is not None:
            self._annotation("->", node.returns)
        docstring = ast.get_docstring(node, clean=False)
        if docstring is not None:
            self.docs.append("doc:" + docstring)
        self._body(scope_of(FUNCTION, node.body, node.args), node.body)

    def lambda_(self, node: ast.Lambda, root: bool = False) -> None:
        self.tokens.append("Lambda")
        self.arguments(node.args, with_defaults=not root)
        self._body(scope_of(FUNCTION, [node.body], node.args), [node.body])

    def _body(self, scope: Scope, body: Sequence[ast.AST]) -> None:
        self.scopes.append(scope)
        self.tokens.append("{")
        self.block(body)
        self.tokens.append("}")
        self.scopes.pop()

    def class_(self, node: ast.ClassDef) -> None:
        tokens = self.tokens
        tokens.append("class " + node.name)
        self.write_all(node.decorator_list)
        self.write_all(node.bases)
        self.keywords(node.keywords)
        self.scopes.append(scope_of(CLASS, node.body))
        outer, self.class_name = self.class_name, node.name
        tokens.append("{")
        for statement in node.body:
            if type(statement) is ast.Expr and type(statement.value) is ast.Constant:
                self.docs.append(repr(statement.value.value))
            elif type(statement) is not ast.Pass:
                self.write(statement)
        tokens.append("}")
        self.class_name = outer
        self.scopes.pop()

    def keywords(self, keywords: list[ast.keyword]) -> None:
        for keyword in keywords:
            self.tokens.append(f"k={keyword.arg}")
            self.write(keyword.value)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        tokens = self.tokens
        tokens.append(type(node).__name__)
        bound = {n.id for g in node.generators for n in ast.walk(g.target) if type(n) is ast.Name}
        self.write(node.generators[0].iter)
        self.scopes.append(Scope(COMPREHENSION, bound))
        for position, generator in enumerate(node.generators):
            tokens.append(f"for{generator.is_async}")
            self.write(generator.target)
            if position:
                self.write(generator.iter)
            for condition in generator.ifs:
                tokens.append("if")
                self.write(condition)
        if isinstance(node, ast.DictComp):
            self.write(node.key)
            self.write(node.value)
        else:
            self.write(node.elt)
        self.scopes.pop()

    def global_(self, node: ast.Global) -> None:
        self.tokens.append("Global" + repr(node.names))
        for name in node.names:
            self.see_not(BlindSpot.GLOBAL_ASSIGNED, name, node)


def does_nothing(node: ast.AST) -> bool:
    return type(node) is ast.Pass or (type(node) is ast.Expr and type(node.value) is ast.Constant)


def text_of(node: ast.expr) -> str | None:
    return node.value if type(node) is ast.Constant and type(node.value) is str else None


Writer.handlers = {
    ast.Name: Writer.name,
    ast.Attribute: Writer.name,
    ast.Constant: Writer.constant,
    ast.FunctionDef: Writer.function,
    ast.AsyncFunctionDef: Writer.function,
    ast.Lambda: Writer.lambda_,
    ast.ClassDef: Writer.class_,
    ast.ListComp: Writer.comprehension,
    ast.SetComp: Writer.comprehension,
    ast.DictComp: Writer.comprehension,
    ast.GeneratorExp: Writer.comprehension,
    ast.AnnAssign: Writer.annotated_assignment,
    ast.Assign: Writer.assign,
    ast.Import: Writer.import_,
    ast.ImportFrom: Writer.import_,
    ast.Global: Writer.global_,
}
