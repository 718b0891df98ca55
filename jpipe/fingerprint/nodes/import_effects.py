"""Which top-level statements change something that no value of the module shows, and which files bring them along."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator
from typing import Any

from jpipe.fingerprint.nodes.graph import Graph
from jpipe.fingerprint.nodes.held_by_libraries import held_by_libraries
from jpipe.fingerprint.source.outline import Acted, FromImport, PlainImport
from jpipe.system.ownership import (
    PACKAGE_NAME,
    is_kind,
    module_file,
    owns_class,
    owns_file,
    owns_function,
    owns_module,
    top_level,
)

_WITHOUT_EFFECT = frozenset(
    {
        "logging",
        "warnings",
        "sys",
        "atexit",
        "signal",
        "faulthandler",
        "typing",
        "gc",
        "tracemalloc",
        "threading",
        PACKAGE_NAME,
    }
)
"""Changing these changes no result."""
_VALUES_OF = frozenset(
    {"builtins", "collections", "array", "types", "random", "queue", "configparser", "argparse", "string"}
    | {"numpy", "pandas", "polars", "pyarrow", "scipy", "torch"}
)
"""Packages whose instances keep what is done to them to themselves, where it is seen by value."""
_SETTINGS_OF = ("pandas._config",)
"""Modules of theirs whose instances stand for settings, which hold for all."""


def namespace_of(graph: Graph, path: str) -> dict[str, Any]:
    """The globals of the loaded module that came from a file; empty when none did."""
    found = graph.modules_by_file.get(path)
    if found is None:
        for module in list(sys.modules.values()):
            file = module_file(module) if is_kind(module, types.ModuleType) else None
            if file:
                graph.modules_by_file[file] = vars(module)
        found = graph.modules_by_file.get(path)
    return {} if found is None else found


def effect_files(graph: Graph, path: str, static: bool) -> tuple[str, ...]:
    """Files that importing `path` runs and that have effects, in the order in which they run."""
    key = (path, static)
    found = graph.effect_files.get(key)
    if found is None:
        seen: set[str] = set()
        files = list(_in_import_order(graph, path, static, seen))
        if not static:
            _ask_who_is_held(graph, files)
        found = graph.effect_files[key] = tuple(
            f for f in files if effect_numbers(graph, f, static) or (not static and held_names(graph, f))
        )
        if not found:
            graph.effect_files.update(dict.fromkeys(((f, static) for f in seen), ()))
    return found


def _in_import_order(graph: Graph, path: str, static: bool, seen: set[str]) -> Iterator[str]:
    """Depth first through the imports, each file after those it imports."""
    stack: list[tuple[str, Iterator[str]]] = []

    def enter(file: str) -> None:
        known_empty = graph.effect_files.get((file, static)) == ()
        if file not in seen and not known_empty and owns_file(file) and os.path.exists(file):
            seen.add(file)
            stack.append((file, iter(graph.files.imports_of(file))))

    enter(path)
    while stack:
        file, imports = stack[-1]
        inner = next(imports, None)
        if inner is None:
            stack.pop()
            yield file
        else:
            enter(inner)


def held_names(graph: Graph, path: str) -> list[str]:
    """Names of the functions and classes of a loaded file that a library holds, and may call by itself."""
    _ask_who_is_held(graph, [path])
    return graph.held_names.get(path, [])


def _ask_who_is_held(graph: Graph, paths: list[str]) -> None:
    """Have `graph.held_names` answer for these files: a question looks at every object of the process.

    So the first is about what the first step imports, which is all there is for most, and the second about all else
    that is loaded: in a notebook or under pytest that may be much that no step imports.
    """
    new = [path for path in paths if path not in graph.held_names]
    if not new:
        return
    for path in new:
        namespace_of(graph, path)
    asked = graph.modules_by_file if graph.held_names else new
    own = {
        path: graph.modules_by_file[path]
        for path in asked
        if path in graph.modules_by_file and path not in graph.held_names and owns_file(path) and os.path.exists(path)
    }
    graph.held_names.update({path: [] for path in (*asked, *new)})
    graph.held_names.update(held_by_libraries(graph.files, own))


def effect_numbers(graph: Graph, path: str, static: bool) -> tuple[int, ...]:
    """Numbers of the top-level statements of a file that have effects."""
    key = (path, static)
    found = graph.effect_numbers.get(key)
    if found is None:
        namespace = {} if static else namespace_of(graph, path)
        found = graph.effect_numbers[key] = tuple(
            number
            for number, (acted, _) in enumerate(graph.files.parsed(path).effects)
            if any(_counts_live(graph, namespace, a) if namespace else _counts_static(graph, path, a) for a in acted)
        )
    return found


def _counts_static(graph: Graph, path: str, acted: Acted) -> bool:
    """Judged from source, for a module that is not loaded or need not be."""
    parsed = graph.files.parsed(path)
    called = not acted.sets
    if acted.root is None:
        return True
    for entry in parsed.top:
        if isinstance(entry, PlainImport):
            for bound, module, _ in entry.names:
                if bound == acted.root:
                    own = graph.files.import_target(path, module, 0)
                    return (called or not own) and top_level(module) not in _WITHOUT_EFFECT
        elif isinstance(entry, FromImport) and any(bound == acted.root for bound, _ in entry.names):
            own = graph.files.import_target(path, entry.module, entry.level)
            return called if own else top_level(entry.module) not in _WITHOUT_EFFECT
    return called and acted.root in parsed.bound


def _counts_live(graph: Graph, namespace: dict[str, Any], acted: Acted) -> bool:
    """Judged from the objects themselves: what they show as values need not count as effect."""
    if acted.root is None:
        return True
    if acted.root not in namespace:
        return False  # a builtin: print shows nothing, setattr and exec show by value
    start = namespace[acted.root]
    if is_kind(start, types.ModuleType) and not owns_module(start):
        return top_level(start.__name__) not in _WITHOUT_EFFECT
    obj = start
    for attribute in acted.attributes:
        if not is_kind(obj, types.ModuleType):
            break
        obj = vars(obj).get(attribute)
    if is_kind(obj, types.ModuleType):
        return not acted.sets and not owns_module(obj)
    if is_kind(obj, (types.BuiltinFunctionType, types.MethodType)):
        obj = obj.__self__  # what it acts on; of a plain function in C its module
        if obj is None or is_kind(obj, types.ModuleType):
            return top_level(getattr(obj, "__name__", "")) not in _WITHOUT_EFFECT
    if acted.sets and (is_kind(obj, (types.FunctionType, type)) or owns_class(type(obj))):
        return False
    if is_kind(obj, types.FunctionType) and owns_function(obj):
        return not _registers(namespace, acted)
    if is_kind(obj, (types.FunctionType, type)):
        return top_level(obj.__module__) not in _WITHOUT_EFFECT
    if owns_class(type(obj)):
        return False
    module = type(obj).__module__
    return module.startswith(_SETTINGS_OF) or top_level(module) not in _WITHOUT_EFFECT | _VALUES_OF


def _registers(namespace: dict[str, Any], acted: Acted) -> bool:
    """A call that is given a function or class stores it somewhere, where it is visible by value."""
    return any(
        name == "<lambda>" or is_kind(namespace.get(name), (types.FunctionType, type)) for name in acted.arguments
    )
