"""One source file: its outline, and the templates of its definitions, made when they are asked for."""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Callable, Iterator
from typing import Any

from jpipe.fingerprint.source.make_template import block_digest, class_template, function_template, statement_template
from jpipe.fingerprint.source.outline import ENTRIES, Acted, Entry, Outline, outline_of
from jpipe.fingerprint.source.plain_module import Act, acts_of, imports_anywhere
from jpipe.fingerprint.source.scopes import children
from jpipe.fingerprint.source.skeleton import Skeleton, skeleton_of
from jpipe.fingerprint.source.template import ClassTemplate, Template

_DEEP = 100_000
"""Stack frames."""


class SourceFile:
    """One parsed file. What was worked out before is given as `known`, and is added to as more is asked for.

    No syntax tree is kept: trees are a hundred times the size of what is wanted of them, and the garbage collector
    walks through all of it. A definition is parsed again from its own lines when its template is wanted.
    """

    def __init__(self, text: Callable[[], bytes | str], known: dict[Any, Any] | None = None) -> None:
        self._text = text
        self._lines: list[str] | None = None
        self._module: ast.Module | None = None
        self._lambdas_by_line: dict[int, list[tuple[ast.Lambda, str | None]]] | None = None
        self.known: dict[Any, Any] = {} if known is None else known
        self.grown = False
        """True when `known` holds more than what was given."""
        self.outline = Outline(*self._ask("outline", lambda: tuple(outline_of(self._tree()))))
        self.top: tuple[Entry, ...] = tuple(ENTRIES[kind](*fields) for kind, fields in self.outline.top)
        self.bound = frozenset(self.outline.bound)
        self.effects = [(tuple(Acted(*a) for a in acted), number) for acted, number in self.outline.effects]
        self._templates: dict[Any, Any] = {}

    def function(self, line: int, name: str) -> Template | None:
        """The template of the function that starts on `line` (its first decorator's line)."""
        place = self.outline.functions.get((line, name))
        if place is None:
            return None
        return self._template(("def", line, name), lambda: self._function(line, *place))

    def _function(self, line: int, end: int, class_name: str | None) -> Template:
        node = self._definition(line, end)
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        return function_template(node, class_name)

    def classes(self, qualified_name: str) -> list[ClassTemplate]:
        """All definitions of a class under that name, in the file's order."""
        key = ("class", qualified_name)
        found: list[ClassTemplate] | None = self._templates.get(key)
        if found is None:
            raw = self._ask(key, lambda: tuple(self._classes(qualified_name)))
            found = self._templates[key] = [_class_from_plain(r) for r in raw]
        return found

    def _classes(self, qualified_name: str) -> Iterator[tuple[Any, ...]]:
        for line, end in self.outline.classes.get(qualified_name, ()):
            node = self._definition(line, end)
            assert isinstance(node, ast.ClassDef)
            yield _plain_class(class_template(node))

    def lambdas(self, line: int) -> list[Template]:
        """The templates of the lambdas that start on `line`, left to right."""
        key = ("lambda", line)
        found: list[Template] | None = self._templates.get(key)
        if found is None:
            raw = self._ask(key, lambda: tuple(tuple(function_template(*pair)) for pair in self._lambdas(line)))
            found = self._templates[key] = [Template(*r) for r in raw]
        return found

    def _lambdas(self, line: int) -> list[tuple[ast.Lambda, str | None]]:
        """Lambdas hide anywhere in expressions, so the whole tree is searched, once, in the order of the text."""
        if self._lambdas_by_line is None:
            self._lambdas_by_line = {}
            stack: list[tuple[ast.AST, str | None]] = [(self._tree(), None)]
            while stack:
                node, class_name = stack.pop()
                if isinstance(node, ast.Lambda):
                    self._lambdas_by_line.setdefault(node.lineno, []).append((node, class_name))
                inner = node.name if isinstance(node, ast.ClassDef) else class_name
                stack.extend([(child, inner) for child in children(node)][::-1])
        return self._lambdas_by_line.get(line, [])

    def statement(self, number: int) -> Template:
        """The template of a top-level statement."""
        found = self._template(("statement", number), lambda: statement_template(self._tree().body[number]))
        assert found is not None
        return found

    def skeleton(self, number: int | None = None) -> Skeleton:
        """A top-level statement, or all of the file, with the bodies of functions apart."""

        def work_out() -> tuple[Any, ...]:
            body = self._tree().body
            return tuple(skeleton_of(body if number is None else [body[number]]))

        return Skeleton(*self._ask(("skeleton", number), work_out))

    @property
    def digest(self) -> bytes:
        """Digest of the whole file without comments, formatting and docstrings."""
        digest: bytes = self._ask("digest", lambda: block_digest(self._tree().body))
        return digest

    @property
    def acts(self) -> tuple[Act, ...] | None:
        """What importing it does beside defining names; None where its text does not name all that counts."""
        found = self._ask("acts", lambda: _plain_acts(acts_of(self._tree())))
        return None if found is None else tuple(Act(*act) for act in found)

    @property
    def imports(self) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """`(module, level, names)` of all imports, those inside functions included."""
        found: tuple[tuple[str, int, tuple[str, ...]], ...]
        found = self._ask("imports", lambda: imports_anywhere(self._tree()))
        return found

    def text_of(self, first: int, last: int) -> str:
        """The source text of some lines, counted from 1."""
        return "\n".join(self._text_lines()[first - 1 : last])

    def drop(self) -> None:
        """Let text and tree go; both are read again should more be asked for."""
        self._lines = self._module = self._lambdas_by_line = None

    def _ask(self, key: Any, work_out: Callable[[], Any]) -> Any:
        if key not in self.known:
            try:
                self.known[key] = work_out()
            except RecursionError:
                self.known[key] = _with_deep_stack(work_out)
            self.grown = True
        return self.known[key]

    def _template(self, key: Any, work_out: Callable[[], Template]) -> Template | None:
        found: Template | None = self._templates.get(key)
        if found is None:
            found = self._templates[key] = Template(*self._ask(key, lambda: tuple(work_out())))
        return found

    def _tree(self) -> ast.Module:
        if self._module is None:
            self._module = _parse(self._text())
        return self._module

    def _text_lines(self) -> list[str]:
        if self._lines is None:
            self._lines = _decoded(self._text()).split("\n")
        return self._lines

    def _definition(self, first: int, last: int) -> ast.stmt:
        """The node of a definition, parsed from its own lines, with the line numbers of the file."""
        text = self.text_of(first, last)
        if text[:1].isspace():
            node = ast.parse("if 1:\n" + text).body[0]
            assert isinstance(node, ast.If)
            return ast.increment_lineno(node, first - 2).body[0]
        return ast.increment_lineno(ast.parse(text), first - 1).body[0]


def _plain_acts(acts: tuple[Act, ...] | None) -> tuple[tuple[Any, ...], ...] | None:
    return None if acts is None else tuple(map(tuple, acts))


def _plain_class(template: ClassTemplate) -> tuple[Any, ...]:
    statements = tuple((name, tuple(t)) for name, t in template.statements)
    return tuple(template._replace(head=tuple(template.head), statements=statements))  # type: ignore[arg-type]


def _class_from_plain(raw: tuple[Any, ...]) -> ClassTemplate:
    template = ClassTemplate(*raw)
    statements = tuple((name, Template(*t)) for name, t in template.statements)
    return template._replace(head=Template(*template.head), statements=statements)


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


def _decoded(text: bytes | str) -> str:
    """The text as the compiler reads it: its encoding, and lines that end in a line feed only."""
    if isinstance(text, bytes):
        encoding, _ = tokenize.detect_encoding(io.BytesIO(text).readline)
        text = text.decode(encoding, "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")
