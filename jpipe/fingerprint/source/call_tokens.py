"""What calls, subscripts and comparisons give away: computed names, environment variables, changed globals."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from jpipe.fingerprint.parts import BlindSpot
from jpipe.fingerprint.source.scopes import IMPORT, Scope, parameters
from jpipe.fingerprint.source.syntax_tokens import READING, Writer, text_of
from jpipe.fingerprint.source.template import Root, Trait

_QUERYING = frozenset({"sql", "query", "eval", "execute", "sql_expr"})
_STARTS = frozenset({"get_context", "set_start_method"})
_ENVIRON_METHODS = frozenset({"get", "setdefault", "pop"})
_CHANGING = frozenset(
    {"append", "extend", "insert", "update", "add", "setdefault", "pop", "popitem", "remove", "discard", "clear"}
)
_READERS = ("read_", "scan_", "open_", "load_", "File", "Dataset", "imread", "VideoCapture", "from_csv_auto")
_SQL = frozenset({"sql", "query", "execute"})
_FILE_IN_SQL = re.compile(r"""['"(]?[^'"]*\.\w+['"]|read_\w+\(""")


class CodeWriter(Writer):
    """Writes any code, with an eye on what cannot be followed by name."""

    def __init__(self, class_name: str | None = None, scopes: Iterable[Scope] = ()) -> None:
        super().__init__(class_name, scopes)
        self.files: set[str] = set()
        """Parameters that are annotated as `File`: their content counts."""

    def arguments(self, arguments: ast.arguments, with_defaults: bool) -> None:
        super().arguments(arguments, with_defaults)
        annotated = ((one.arg, one.annotation) for one in parameters(arguments) if one.annotation is not None)
        self.files.update(name for name, annotation in annotated if ast.unparse(annotation).strip("'").endswith("File"))

    def call(self, node: ast.Call) -> None:
        function = node.func
        if self._constant_getattr(node):
            return
        self._notice_call(node)
        self.tokens.append("Call")
        if isinstance(function, (ast.Name, ast.Attribute)):
            self.name(function, called=True)
        else:
            self.write(function)
        self.tokens.append("(")
        self.write_all(node.args)
        for keyword in node.keywords:
            self.tokens.append(f"k={keyword.arg}")
            self.write(keyword.value)
        self.tokens.append(")")
        self._call_on_outside(node)

    def _constant_getattr(self, node: ast.Call) -> bool:
        """`getattr(thing, "name")` on something outside reads like `thing.name`."""
        if type(node.func) is not ast.Name or self.outside(node.func.id) != "getattr" or len(node.args) < 2:
            return False
        attribute = text_of(node.args[1])
        if attribute is None:
            self.see_not(BlindSpot.COMPUTED_ATTRIBUTE, ast.unparse(node), node)
            return False
        chain = self.dotted(node.args[0])
        if chain is None:
            self.notice(attribute, READING)
            return False
        self.notice(attribute, READING)
        self.tokens.append("getattr")
        self.refer(chain[0], (*chain[1], attribute))
        self.write_all(node.args[2:])
        return True

    def _notice_call(self, node: ast.Call) -> None:
        function = node.func
        called = function.id if type(function) is ast.Name else function.attr if type(function) is ast.Attribute else ""
        if called in _QUERYING:
            self.traits |= Trait.QUERIES
        if called == "get_reusable_executor" or (
            called in _STARTS and any(text_of(value) in ("spawn", "forkserver") for value in _given(node))
        ):
            self.see_not(BlindSpot.OTHER_PROCESS, ast.unparse(node), node)
        if called not in ("import_module", "__import__"):
            return
        module = text_of(node.args[0]) if node.args else None
        if module is None or (called == "__import__" and not _has_constant_parts(node)):
            self.traits |= Trait.COMPUTED_IMPORT
            self.see_not(BlindSpot.COMPUTED_IMPORT, ast.unparse(node), node)
        elif not module.startswith("."):
            self.refer((IMPORT, module, None, 0))
        else:
            self._relative_import(node, module)

    def _relative_import(self, node: ast.Call, module: str) -> None:
        """`import_module(".a", "package")`; the package may be that of the module itself."""
        package = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords), None)
        name = module.lstrip(".")
        level = len(module) - len(name)
        if type(package) is ast.Name and package.id in ("__package__", "__name__"):
            self.refer((IMPORT, name, None, level))
            return
        absolute = (text_of(package) or "" if package is not None else "").split(".")[: 1 - level or None]
        if absolute and absolute[0]:
            self.refer((IMPORT, ".".join([*absolute, name]), None, 0))
        else:
            self.traits |= Trait.COMPUTED_IMPORT
            self.see_not(BlindSpot.COMPUTED_IMPORT, ast.unparse(node), node)

    def _call_on_outside(self, node: ast.Call) -> None:
        chain = self.dotted(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) and node.args else None
        if chain is None:
            return
        root, attributes = chain
        called = attributes[-1] if attributes else last_name(root)
        if isinstance(root, str) and len(attributes) == 1 and called in _CHANGING:
            self.see_not(BlindSpot.GLOBAL_CHANGED, root, node)
        if _may_open_files(called, node) and not self._is_declared(node.args[0]):
            module = root if isinstance(root, str) else f"{root[1]}:"
            self.see_not(BlindSpot.NATIVE_READ, f"{module} {ast.unparse(node.func)}", node)
        if called in _ENVIRON_METHODS or called == "getenv":
            self._environment_read(chain, node.args[0])

    def _is_declared(self, file: ast.expr) -> bool:
        return any(type(node) is ast.Name and node.id in self.files for node in ast.walk(file))

    def subscript(self, node: ast.Subscript) -> None:
        self.generic(node)
        chain = self.dotted(node.value)
        if chain is not None and not chain[1] and isinstance(chain[0], str) and type(node.ctx) is not ast.Load:
            self.see_not(BlindSpot.GLOBAL_CHANGED, chain[0], node)
        if chain is not None:
            self._environment_read(chain, node.slice)

    def compare(self, node: ast.Compare) -> None:
        self.generic(node)
        if len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            chain = self.dotted(node.comparators[0])
            if chain is not None:
                self._environment_read(chain, node.left)

    def _environment_read(self, chain: tuple[Root, tuple[str, ...]], key: ast.expr) -> None:
        number = self.numbers.get(chain)
        if number is None:
            return
        text = text_of(key)
        if text is not None:
            self.environment.append((number, text))
            return
        variable = self.dotted(key)
        if variable is not None and variable in self.numbers:
            self.environment.append((number, self.numbers[variable]))
        elif "environ" in (*chain[1], last_name(chain[0])):
            self.see_not(BlindSpot.COMPUTED_VARIABLE, ast.unparse(key), key)


CodeWriter.handlers = {
    **Writer.handlers,
    ast.Call: CodeWriter.call,
    ast.Subscript: CodeWriter.subscript,
    ast.Compare: CodeWriter.compare,
}


def last_name(root: Root) -> str:
    return root if isinstance(root, str) else root[2] or root[1]


def _may_open_files(called: str, node: ast.Call) -> bool:
    """Whether a call has the name of one that reads a file; of one that takes SQL, whether a file is named in it."""
    if called in _SQL:
        text = text_of(node.args[0])
        return text is not None and _FILE_IN_SQL.search(text) is not None
    return called.startswith(_READERS)


def _given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def _has_constant_parts(node: ast.Call) -> bool:
    """Whether the parts that `__import__` is to import, if it is given any, stand in the text."""
    given = node.args[3:4] or [keyword.value for keyword in node.keywords if keyword.arg == "fromlist"]
    return all(
        isinstance(parts, (ast.List, ast.Tuple)) and all(text_of(part) is not None for part in parts.elts)
        for parts in given
    )
