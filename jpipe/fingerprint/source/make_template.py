"""Makes the templates of functions, classes, statements and whole files."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.source.call_tokens import CodeWriter
from jpipe.fingerprint.source.scopes import CLASS, FUNCTIONS, scope_of
from jpipe.fingerprint.source.syntax_tokens import Writer, does_nothing
from jpipe.fingerprint.source.template import ClassTemplate, Reference, Template, Trait


def first_line(node: ast.stmt | ast.Lambda) -> int:
    """The line where a definition starts, its decorators included (as `co_firstlineno` has it)."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def function_template(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, class_name: str | None) -> Template:
    """The template of a function, without its name, its decorators and the values of its defaults."""
    writer = CodeWriter(class_name)
    if isinstance(node, ast.Lambda):
        writer.lambda_(node, root=True)
        return _finished(writer, node)
    writer.function(node, root=True)
    return _finished(writer, node, _decorators(node))


def statement_template(node: ast.stmt) -> Template:
    """The template of a top-level statement as a whole, definitions with name and decorators."""
    writer = CodeWriter()
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        writer.tokens.append("Import")
    else:
        writer.write(node)
    return _finished(writer, node)


def class_template(node: ast.ClassDef) -> ClassTemplate:
    """The class-level parts of a class; its methods are met as live objects."""
    head = CodeWriter()
    head.write_all(node.decorator_list)
    head.keywords(node.keywords)
    scope = scope_of(CLASS, node.body)
    statements: list[tuple[str | None, Template]] = []
    for statement in node.body:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)) or does_nothing(statement):
            continue
        writer = _ClassBody(node.name, [scope])
        writer.write(statement)
        statements.append((_assigned_name(statement), _finished(writer, statement)))
    return ClassTemplate(
        head=_finished(head, node),
        statements=tuple(statements),
        method_lines=tuple(first_line(s) for s in node.body if isinstance(s, FUNCTIONS)),
        decorators=_decorators(node),
        docstring=ast.get_docstring(node, clean=False) or "",
        bound=tuple(sorted(scope.bound)),
        line=first_line(node),
        end=node.end_lineno or node.lineno,
    )


class _ClassBody(CodeWriter):
    """Writes the body of a class whose object is at hand: what its annotations say is told apart."""

    def field(self, node: ast.AnnAssign) -> None:
        if len(self.scopes) > 1:
            super().field(node)
            return
        self.annotations.append(ast.unparse(node.annotation))
        self.annotation_names.update(self.evaluated_annotation(node.annotation))


def block_digest(body: Sequence[ast.stmt]) -> bytes:
    """Digest of a whole file: its statements and the names it uses, without comments and docstrings."""
    writer = CodeWriter()
    writer.block(body)
    return combine("\x1f".join([*writer.tokens, *map(repr, writer.references)]))


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[Reference | None, ...]:
    found: list[Reference | None] = []
    for decorator in node.decorator_list:
        chain = CodeWriter().dotted(decorator)
        if chain is None and isinstance(decorator, ast.Call):
            chain = CodeWriter().dotted(decorator.func)
        found.append(None if chain is None else (*chain, True))
    return tuple(found)


def _assigned_name(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return None


def _span(node: ast.expr) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or 0


def _finished(writer: Writer, node: ast.stmt | ast.Lambda, decorators: tuple[Reference | None, ...] = ()) -> Template:
    """The template of what was written, as the definition `node`."""
    base = combine("\x1f".join(writer.tokens))
    extra = [*writer.annotations, *writer.docs]
    return Template(
        base=base,
        full=combine(base, "\x1f".join(extra)) if extra else base,
        references=tuple(writer.references),
        traits=writer.traits,
        words=tuple(sorted(writer.words)) if writer.traits & Trait.QUERIES else (),
        docs=combine(*writer.docs) if writer.docs else b"",
        annotations=combine(*writer.annotations) if writer.annotations else b"",
        annotation_names=tuple(sorted(writer.annotation_names)),
        decorators=decorators,
        environment=tuple(writer.environment),
        blind=tuple(writer.blind),
        line=first_line(node),
        end=node.end_lineno or node.lineno,
        span=_span(node.body) if isinstance(node, ast.Lambda) else None,
    )
