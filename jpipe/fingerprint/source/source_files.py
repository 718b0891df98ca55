"""The user's source files: parsed once, found by module name without importing, and checked against what is running."""

from __future__ import annotations

import importlib.util
import linecache
import os
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

from jpipe.fingerprint.source.bytecode import bytecode_fits, codes_of, same_code
from jpipe.fingerprint.source.outline import FromImport, PlainImport
from jpipe.fingerprint.source.parse_cache import ParseCache, Stamp, stamp_of
from jpipe.fingerprint.source.processes import started_at
from jpipe.fingerprint.source.source_file import SourceFile
from jpipe.system.ownership import is_jpipe_module, owns_file, owns_folder

_NOT_OF_PROJECT = ("pyvenv.cfg", "CACHEDIR.TAG")
"""What lies in the folder of an environment or of a cache, whatever it is called."""
_NO_SOURCE = ("__pycache__", "node_modules")
_SETTLED = 50_000_000
"""Nanoseconds; a file that was read sooner after its last change may change again under the same time stamp."""


class SourceFiles:
    """All that is asked about source files, each answered once.

    Parameters
    ----------
    root : Path
        The project root, for relative names.
    cache : ParseCache
        What earlier runs found out.
    """

    def __init__(self, root: Path, cache: ParseCache) -> None:
        self.root = os.path.realpath(root)
        self._cache = cache
        self._parsed: dict[str, SourceFile] = {}
        self._codes: dict[str, dict[tuple[int, str], list[types.CodeType]]] = {}
        self._suspect: dict[str, bool] = {}
        self._stamps: dict[str, Stamp] = {}
        self._targets: dict[tuple[str, str, int], str | None] = {}
        self._submodules: dict[tuple[str, str], str | None] = {}
        self._imports: dict[str, tuple[str, ...]] = {}
        self._relative: dict[str, str] = {}

    # text and trees

    def text(self, path: str) -> bytes | str:
        """The source, from disk or (notebook cells) from linecache; empty when there is none."""
        try:
            with open(path, "rb") as stream:
                return stream.read()
        except (OSError, ValueError):
            return "".join(linecache.getlines(path))

    def parsed(self, path: str) -> SourceFile:
        """What a file says."""
        found = self._parsed.get(path)
        if found is None:
            stamp = stamp_of(path)
            known = self._cache.get(path, stamp) if stamp else None
            if stamp and time.time_ns() - max(stamp[:2]) > _SETTLED:
                self._stamps[path] = stamp
            found = self._parsed[path] = SourceFile(lambda: self.text(path), known)
        return found

    def drop_trees(self) -> None:
        """Let texts and syntax trees go: they are most of the memory, and what the garbage collector walks through."""
        for parsed in self._parsed.values():
            parsed.drop()

    def relative(self, path: str) -> str:
        """A path relative to the project root when it is below it, with forward slashes."""
        found = self._relative.get(path)
        if found is None:
            real = os.path.realpath(path)
            inside = real.startswith(self.root + os.sep)
            found = self._relative[path] = os.path.relpath(real, self.root).replace(os.sep, "/") if inside else path
        return found

    def module_name(self, path: str) -> str:
        """How a file would be imported from the project root."""
        name = self.relative(path).rpartition(".")[0].replace("/", ".").strip(".")
        return name.removesuffix(".__init__")

    def save(self) -> None:
        """Keep what was found out, for files that are still as they were when they were parsed."""
        for path, parsed in self._parsed.items():
            stamp = self._stamps.get(path)
            if parsed.grown and stamp is not None and stamp == stamp_of(path):
                self._cache.put(path, stamp, parsed.known)
        self._cache.save()

    # modules by name

    def import_target(self, importer: str, module: str, level: int) -> str | None:
        """The user's file that an import reaches, found without importing; a folder stands as its `__init__.py`."""
        key = (importer if level else "", module, level)
        if key not in self._targets:
            self._targets[key] = self._find(importer, module, level)
        return self._targets[key]

    def _find(self, importer: str, module: str, level: int) -> str | None:
        if level:
            folder = os.path.dirname(importer)
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            return module_in(folder, module.split(".") if module else [])
        if is_jpipe_module(module):
            return None  # wherever a copy of it lies
        for folder in sys.path:
            folder = folder or os.getcwd()
            if os.path.isdir(folder) and owns_folder(folder):
                found = module_in(folder, module.split("."))
                if found is not None and owns_file(found):
                    return found
        return None

    def submodule(self, package: str, name: str) -> str | None:
        """The file of a submodule, given its package's `__init__.py`."""
        if not is_package(package):
            return None
        key = package, name
        if key not in self._submodules:
            self._submodules[key] = module_in(os.path.dirname(package), [name])
        return self._submodules[key]

    def provides(self, path: str, name: str) -> bool:
        """Does a module have a name at its top level, of its own or through `from x import *`?"""
        seen: set[str] = set()
        stack = [path]
        while stack:
            current = stack.pop()
            if current in seen:
                continue
            seen.add(current)
            parsed = self.parsed(current)
            if name in parsed.bound:
                return True
            for entry in parsed.top:
                if isinstance(entry, FromImport) and ("*", "*") in entry.names:
                    target = self.import_target(current, entry.module, entry.level)
                    stack += [target] if target else []
        return False

    def imports_of(self, path: str) -> tuple[str, ...]:
        """The user's files that importing `path` imports at top level, in order, parent packages first."""
        found = self._imports.get(path)
        if found is None:
            found = self._imports[path] = tuple(f for t in self._imported(path) for f in (*parents(t), t))
        return found

    def _imported(self, path: str) -> Iterator[str]:
        for entry in self.parsed(path).top:
            if isinstance(entry, FromImport):
                target = self.import_target(path, entry.module, entry.level)
                if target is None:
                    continue
                yield target
                for _, original in entry.names:
                    inner = self.submodule(target, original)
                    if inner is not None and os.path.exists(inner):
                        yield inner
            elif isinstance(entry, PlainImport):
                for _, module, _ in entry.names:
                    target = self.import_target(path, module, 0)
                    if target is not None:
                        yield target

    def project_files(self) -> Iterator[str]:
        """Every Python file below the project root, in a fixed order."""
        for folder, folders, names in os.walk(self.root):
            if not any(marker in names for marker in _NOT_OF_PROJECT):
                yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))
                folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _NO_SOURCE)
            else:
                folders.clear()

    # what is running

    def is_running(self, code: types.CodeType) -> bool:
        """False when the code in memory does not come from the file as it is now."""
        path = code.co_filename
        if not self.suspect(path):
            return True
        return any(same_code(code, c) for c in self._codes_in(path).get((code.co_firstlineno, code.co_name), ()))

    def written(self, function: types.FunctionType) -> types.CodeType:
        """The code of a function with its file and lines, also where a pickler of the user's has lost them."""
        code, file = function.__code__, function.__globals__.get("__file__")
        if not code.co_filename.startswith("<") or not isinstance(file, str) or owns_file(code.co_filename):
            return code
        if owns_file(file):
            for (_, name), found in self._codes_in(file).items():
                for candidate in found if name == code.co_name else ():
                    if same_code(code, candidate):
                        return candidate
        return code

    def _codes_in(self, path: str) -> dict[tuple[int, str], list[types.CodeType]]:
        if path not in self._codes:
            self._codes[path] = codes_of(self.text(path), path)
        return self._codes[path]

    def suspect(self, path: str) -> bool:
        """Could the code in memory be older than the text? Told from time stamps alone.

        Either the file was touched since this process started, or its `.pyc` was written within the second of the
        source's stamp: CPython compares whole seconds and sizes, so it may run an older text of equal size.
        """
        answer = self._suspect.get(path)
        if answer is None:
            answer = self._suspect[path] = _touched_since_start(path) or not self._compiled_fits(path)
        return answer

    def _compiled_fits(self, path: str) -> bool:
        """Does the `.pyc` hold what the source says? Where time stamps leave a doubt they are compared, once."""
        compiled = _doubtful_bytecode(path)
        if compiled is None:
            return True
        known = self.parsed(path).known
        stamp = stamp_of(compiled)
        if known.get("compiled") != stamp:
            if not bytecode_fits(compiled, self.text(path), path):
                return False
            known["compiled"] = stamp
            self.parsed(path).grown = True
        return True


def is_package(path: str) -> bool:
    """True for the `__init__.py` that stands for a package."""
    return os.path.basename(path) == "__init__.py"


def module_in(folder: str, names: list[str]) -> str | None:
    """The file of a module below a folder; a namespace package stands as the `__init__.py` it has not."""
    base = os.path.join(folder, *names)
    package = os.path.join(base, "__init__.py")
    if os.path.exists(package):
        return package
    if names and os.path.exists(base + ".py"):
        return base + ".py"
    return package if os.path.isdir(base) else None


def parents(path: str) -> list[str]:
    """The `__init__.py` files of the packages around a module, outermost first."""
    found: list[str] = []
    folder = os.path.dirname(path)
    while os.path.exists(os.path.join(folder, "__init__.py")):
        found.insert(0, os.path.join(folder, "__init__.py"))
        folder = os.path.dirname(folder)
    return found


def _touched_since_start(path: str) -> bool:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return max(status.st_mtime, status.st_ctime) > started_at()


def _doubtful_bytecode(path: str) -> str | None:
    """The `.pyc` of a source that was last changed in or after the second in which the `.pyc` was written."""
    try:
        source = os.stat(path)
        compiled = importlib.util.cache_from_source(path)
        written = os.stat(compiled).st_mtime
    except (OSError, ValueError, NotImplementedError):
        return None
    return compiled if written < max(int(source.st_mtime) + 1, source.st_ctime) else None
