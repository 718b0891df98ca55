"""Find, in the source, what an import or a layout takes from the moment: clock, randomness, network, other processes.

Where the user's modules or the pipeline function use such a thing outside of steps, what a run would do cannot be told
from files alone. The search is by name and errs on the side of finding too much.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Volatile", "volatile_uses"]

_MODULES = {
    "random", "secrets", "socket", "subprocess", "uuid", "requests", "httpx", "urllib.request", "tempfile", "getpass",
    "multiprocessing", "asyncio", "select", "ctypes", "sqlite3",
}  # fmt: skip
_NAMES = {
    "time.time", "time.time_ns", "time.monotonic", "time.perf_counter", "time.localtime", "time.gmtime", "time.ctime",
    "time.strftime", "time.process_time", "os.urandom", "os.getpid", "os.system", "os.popen", "os.stat", "os.access",
    "os.getloadavg", "os.cpu_count", "os.path.exists", "os.path.isfile", "os.path.isdir", "os.path.getmtime",
    "os.path.getsize", "os.path.lexists", "os.path.islink", "sys.argv", "sys.stdin", "input", "id", "hash", "open_url",
    "platform.node", "numpy.random", "np.random",
}  # fmt: skip
_ATTRIBUTES = {"now", "today", "utcnow", "uuid1", "uuid4", "urlopen", "exists", "is_file", "is_dir", "stat", "lstat"}


class Volatile(NamedTuple):
    """One use.

    Parameters
    ----------
    name
        As it is written: ``datetime.now``.
    file, line
        Where; lines count from 1.
    """

    name: str
    file: str
    line: int


def volatile_uses(sources: Iterable[tuple[str, str]]) -> Iterator[Volatile]:
    """What the modules take from the moment when they are imported, and pipelines when they are laid out.

    Parameters
    ----------
    sources
        (file, text) of the user's modules.
    """
    trees = []
    for file, text in sources:
        try:
            trees.append((file, ast.parse(text)))
        except SyntaxError:
            continue
    called: set[str] = set()
    pending: list[tuple[str, ast.AST]] = []
    functions: dict[str, list[tuple[str, ast.AST]]] = {}
    for file, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_step(node):
                functions.setdefault(node.name, []).append((file, node))
                if _decorated(node, "pipeline"):
                    pending.append((file, node))
        pending.append((file, tree))
    while pending:
        file, root = pending.pop()
        aliases = _aliases(next(tree for name, tree in trees if name == file))
        for node in _executed(root):
            name = _dotted(node, aliases)
            if name is None:
                continue
            if _is_volatile(name):
                yield Volatile(name, file, getattr(node, "lineno", 1))
            last = name.rpartition(".")[2]
            if last in functions and last not in called:
                called.add(last)
                pending.extend(functions[last])


def _is_volatile(name: str) -> bool:
    if name in _NAMES or any(name == m or name.startswith(m + ".") for m in _MODULES):
        return True
    _, dot, last = name.rpartition(".")
    return bool(dot) and (last in _ATTRIBUTES or any(name.startswith(n + ".") for n in ("numpy.random", "np.random")))


def _executed(root: ast.AST) -> Iterator[ast.AST]:
    """The expressions that run when `root` does: not the bodies of functions that it only defines."""
    stack: list[ast.AST] = list(getattr(root, "body", [])) if not isinstance(root, ast.Lambda) else [root.body]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            stack += node.decorator_list + node.args.defaults + [d for d in node.args.kw_defaults if d is not None]
            continue
        if isinstance(node, ast.If) and _is_main_guard(node):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        yield node
        if isinstance(node, ast.Attribute) and not (_dotted(node, {}) or ".").startswith("."):
            continue
        stack += list(ast.iter_child_nodes(node))


def _is_main_guard(node: ast.If) -> bool:
    test = node.test
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        names.append(aliases.get(node.id, node.id))
        return ".".join(reversed(names))
    # A method of something computed, such as Path("x").exists(): only its name is known.
    return "." + names[0] if names else None


def _aliases(tree: ast.AST) -> dict[str, str]:
    """What imported names stand for, anywhere in a module."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _is_step(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return _decorated(node, "step")


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", None)) == name:
            return True
    return False
