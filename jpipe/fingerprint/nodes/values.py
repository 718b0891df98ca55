"""Data values as nodes: `digest` takes them apart, code inside is looked into here; what it refuses is opaque."""

from __future__ import annotations

import contextvars
import functools
import io
import os
import sys
import threading
import types
from typing import Any

from jpipe.digest.canonical import Node as Taken
from jpipe.digest.canonical import Refused
from jpipe.digest.instances import held_code
from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.file_nodes import file_node
from jpipe.fingerprint.nodes.graph import LEAVES, Edge, Graph, Node
from jpipe.system.ownership import STANDARD_MODULES, is_jpipe_module, is_kind, owns_class, top_level

_WITHOUT_CONTENT = frozenset(
    {
        *(("_thread", "lock"), ("_thread", "RLock"), ("_thread", "_local"), ("threading", "_RLock")),
        *(("threading", name) for name in ("Event", "Condition", "Semaphore", "BoundedSemaphore", "Barrier", "Thread")),
        *(("weakref", "ReferenceType"), ("builtins", "weakref"), ("weakref", "WeakKeyDictionary")),
        *(("weakref", "WeakValueDictionary"), ("weakref", "WeakSet"), ("_weakrefset", "WeakSet")),
        *(("logging", "Logger"), ("logging", "RootLogger"), ("logging", "LoggerAdapter"), ("loguru._logger", "Logger")),
        *(("structlog._config", "BoundLoggerLazyProxy"), ("structlog._native", "BoundLoggerFilteringAtNotset")),
        *(("_abc", "_abc_data"), ("builtins", "object"), ("dataclasses", "_MISSING_TYPE")),
    }
)
"""Types whose instances hold nothing that results could depend on."""
_TYPING = frozenset(
    {
        *("_GenericAlias", "GenericAlias", "_UnionGenericAlias", "UnionType", "Union", "TypeVar", "TypeVarTuple"),
        *("ParamSpec", "_SpecialForm", "_LiteralGenericAlias", "_AnnotatedAlias", "_CallableGenericAlias"),
        *("TypeAliasType", "NewType"),
    }
)
_DATA = (*LEAVES, list, tuple, dict, set)
"""Of what a thread keeps for itself this counts; connections and the like are there for quicker work."""
_STREAMS = (io.TextIOBase, io.BufferedWriter, io.FileIO)
_READERS = (io.TextIOWrapper, io.BufferedReader, io.BufferedRandom, io.FileIO)
_HOLD_ONE_FUNCTION = (types.MethodType, functools._lru_cache_wrapper)
_CACHE = (functools._lru_cache_wrapper, functools.cached_property)
"""What these have kept of earlier calls is no part of them."""


def fill_value(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    """Fill the node of a live object that is not a function, class or module; no value raises."""
    kind = type(obj)
    module = str(kind.__module__)
    if obj is os.environ or obj is getattr(os, "environb", None):
        node.put(combine("environ"))  # variables count one by one, where they are read
    elif kind is contextvars.ContextVar:
        try:
            now = [("now", graph.value(obj.get()))]  # what was set here, else its default
        except LookupError:
            now = []
        node.put(combine("context", obj.name), now, data=True)
    elif kind is threading.local and vars(obj):
        set_here = [(name, value) for name, value in sorted(vars(obj).items()) if type(value) in _DATA]
        node.put(combine("local"), [(name, graph.value(value)) for name, value in set_here], data=True)
    elif (module, kind.__name__) in _WITHOUT_CONTENT:
        node.put(combine("without content", kind.__qualname__), data=True)
    elif is_kind(obj, _STREAMS) and _is_only_written(obj):
        node.put(combine("without content", "stream"), data=True)
    elif module in ("typing", "types", "typing_extensions") and kind.__name__ in _TYPING:
        _fill_typing(graph, node, obj)
    else:
        _fill_data(graph, node, obj, named)


def _is_only_written(stream: Any) -> bool:
    """Whether nothing can be read from a stream: where a log goes has no part in a result, and differs by process."""
    try:
        return stream.writable() is True and stream.readable() is False
    except Exception:  # a closed one, or one of the user's own
        return False


def _fill_data(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    try:
        taken = graph.values.look_into(obj)
    except Refused:
        fill_opaque(graph, node, obj)
        return
    edges = _packages(graph, obj)
    node.hides = is_kind(obj, _CACHE)
    if isinstance(taken, bytes):
        node.put(combine("value", taken), edges, data=True)
        return
    # A method or a cached function is called as what it holds: then the name of that counts no more than its own.
    named = named or not is_kind(obj, _HOLD_ONE_FUNCTION)
    label = "" if taken.unordered else "{}"
    edges += [(label.format(k), graph.value(child, named)) for k, child in enumerate(taken.children)]
    node.put(combine("value", taken.head, taken.tail), edges, data=True)
    node.unordered = taken.unordered


def _packages(graph: Graph, obj: Any) -> list[Edge]:
    """The package that a function in C, or the class of a value that `digest` has a rule for, comes from."""
    if type(obj) is types.BuiltinFunctionType:
        owner = obj.__self__
        if owner is not None and not is_kind(owner, types.ModuleType):
            return []
        module = sys.modules.get(obj.__module__ or getattr(owner, "__name__", "") or "builtins")
        return [("package", graph.package(graph.packages.module_version(module)))] if module else []
    top = top_level(str(type(obj).__module__))
    if top in STANDARD_MODULES or type(obj) is Taken or owns_class(type(obj)) or is_jpipe_module(top):
        return []
    return [("package", graph.package(graph.packages.version(top)))]


def _file_behind(obj: Any) -> str | None:
    """The file that code can read from an open handle."""
    try:
        if not is_kind(obj, _READERS) or obj.closed or not obj.readable():
            return None
        name = getattr(obj, "name", None)
    except ValueError:  # its buffer was taken from it
        return None
    return os.path.abspath(name) if isinstance(name, str) and os.path.isfile(name) else None


def fill_opaque(graph: Graph, node: Node, obj: Any) -> None:
    """Something that cannot be looked into: its class counts, the code it holds, later the statements that build it."""
    held = [(f"held{k}", graph.value(code)) for k, code in enumerate(held_code(obj))]
    if (path := _file_behind(obj)) is not None:
        held.append(("file", file_node(graph, path)))
    node.put(combine("opaque"), [("class", graph.value(type(obj))), *held], data=True)
    node.opaque = node.hides = True


def _fill_typing(graph: Graph, node: Node, obj: Any) -> None:
    found = list(getattr(obj, "__args__", ()))
    if type(obj).__name__ == "TypeAliasType":
        try:
            found.append(obj.__value__)
        except Exception:  # evaluated now, by code of the user's
            fill_opaque(graph, node, obj)
            return
    inside = [a for a in found if hasattr(a, "__args__") or (is_kind(a, type) and owns_class(a))]
    label = combine("typing", repr(obj), *map(repr, found))
    node.put(label, [(str(k), graph.value(a)) for k, a in enumerate(inside)], data=True)
