"""Data values as nodes: by content when they can be looked into, else marked opaque; no value raises."""

from __future__ import annotations

import enum
import functools
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.frames import fill_frame
from jpipe.fingerprint.nodes.graph import Graph, Node
from jpipe.fingerprint.nodes.instances import fill_foreign_instance, fill_opaque, fill_own_instance
from jpipe.fingerprint.source.plain_bytes import leaf_bytes, numpy_label, plain_bytes
from jpipe.system.ownership import is_jpipe_module, is_kind, owns_class

_WITHOUT_CONTENT = frozenset(
    {
        "lock",
        "RLock",
        "_RLock",
        "local",
        "_local",
        "Event",
        "Condition",
        "Semaphore",
        "BoundedSemaphore",
        "Barrier",
        "Thread",
    }
    | {"weakref", "ReferenceType", "WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "Logger", "RootLogger"}
    | {"LoggerAdapter", "_abc_data"}
)
"""Types whose instances hold no result-relevant content: the type alone counts."""
_TYPING = frozenset(
    {
        "_GenericAlias",
        "GenericAlias",
        "_UnionGenericAlias",
        "UnionType",
        "Union",
        "TypeVar",
        "TypeVarTuple",
        "ParamSpec",
    }
    | {"_SpecialForm", "_LiteralGenericAlias", "_AnnotatedAlias", "_CallableGenericAlias", "TypeAliasType", "NewType"}
)


def fill_value(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    """Fill the node of a live object that is not a function, class or module."""
    kind = type(obj)
    fill = _BY_TYPE.get(kind)
    if fill is not None:
        fill(graph, node, obj, named)
    elif obj is os.environ or obj is getattr(os, "environb", None):
        node.put(combine("environ"))  # variables count one by one, where they are read
    elif not (_fill_simple(graph, node, obj, kind) or _fill_numpy(graph, node, obj) or fill_frame(graph, node, obj)):
        if owns_class(kind):
            fill_own_instance(graph, node, obj, kind)
        else:
            fill_foreign_instance(graph, node, obj, kind)


def _fill_simple(graph: Graph, node: Node, obj: Any, kind: type) -> bool:
    module = kind.__module__
    if issubclass(kind, enum.Enum):
        node.put(combine("enum", str(obj.name or obj._value_)), [("class", graph.value(kind))], data=True)
    elif issubclass(kind, os.PathLike) and module.startswith("pathlib"):
        node.put(combine("path", kind.__name__, os.fspath(obj)), data=True)
    elif kind.__name__ in _WITHOUT_CONTENT:
        node.put(combine("without content", kind.__qualname__), data=True)
    elif module in ("typing", "types", "typing_extensions") and kind.__name__ in _TYPING:
        _fill_typing(graph, node, obj)
    elif is_jpipe_module(module):
        node.put(combine("jpipe", kind.__qualname__))
    else:
        return False
    return True


def _fill_numpy(graph: Graph, node: Node, obj: Any) -> bool:
    label = numpy_label(obj)
    if label is not None:
        node.put(label, data=True)
        return True
    kind = type(obj)
    if kind.__name__ == "ufunc" and kind.__module__ == "numpy":
        name = str(obj.__name__)
        if getattr(sys.modules["numpy"], name, None) is obj:
            node.put(combine("ufunc", name), [("package", graph.package(graph.packages.version("numpy")))])
        else:
            fill_opaque(graph, node, obj)
        return True
    return False


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


def _sequence(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    raw = plain_bytes(obj)
    if raw is not None:
        node.put(combine("plain", raw), data=True)
    else:
        edges = [(str(k), graph.value(item)) for k, item in enumerate(obj)]
        node.put(combine("sequence", type(obj).__name__, str(len(obj))), edges, data=True)


def _mapping(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    raw = plain_bytes(obj)
    if raw is not None:
        node.put(combine("plain", raw), data=True)
        return
    edges = []
    for k, (key, value) in enumerate(list(obj.items())):
        edges += [(f"k{k}", graph.value(key)), (f"v{k}", graph.value(value))]
    node.put(combine("dict", str(len(obj))), edges, data=True)


def _set(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    edges = [("", graph.value(item)) for item in obj]
    node.put(combine("set", type(obj).__name__, str(len(obj))), edges, data=True)
    node.unordered = True


def _method(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("method"), [("f", graph.value(obj.__func__, named)), ("s", graph.value(obj.__self__))], data=True)


def _builtin(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    owner = obj.__self__
    if owner is not None and not is_kind(owner, types.ModuleType):
        node.put(combine("builtin method", obj.__name__), [("s", graph.value(owner))], data=True)
        return
    name = obj.__module__ or getattr(owner, "__name__", "") or "builtins"
    module = sys.modules.get(name)
    version = graph.packages.module_version(module) if module is not None else name
    node.put(combine("builtin", name, obj.__qualname__), [("package", graph.package(version))], data=True)


def _wrapping(label: str, *attributes: str) -> Callable[[Graph, Node, Any, bool], None]:
    """Filler for an object that consists of the values of some attributes."""

    def fill(graph: Graph, node: Node, obj: Any, named: bool) -> None:
        node.put(combine(label), [(name, graph.value(getattr(obj, name))) for name in attributes], data=True)

    return fill


def _lru_cache(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("lru_cache"), [("f", graph.value(obj.__wrapped__, named))], data=True)


def _as_text(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine(type(obj).__name__, repr(obj)), data=True)


def _bytearray(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("bytearray", bytes(obj)), data=True)


def _pattern(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("pattern", leaf_bytes(obj.pattern), str(int(obj.flags))), data=True)


def _sentinel(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("object"), data=True)


def _proxy(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    node.put(combine("mapping proxy"), [("d", graph.value(dict(obj)))], data=True)


_BY_TYPE: dict[type, Callable[[Graph, Node, Any, bool], None]] = {
    tuple: _sequence,
    list: _sequence,
    dict: _mapping,
    set: _set,
    frozenset: _set,
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    functools.partial: _wrapping("partial", "func", "args", "keywords"),
    functools.partialmethod: _wrapping("partialmethod", "func", "args", "keywords"),
    property: _wrapping("property", "fget", "fset", "fdel"),
    classmethod: _wrapping("classmethod", "__func__"),
    staticmethod: _wrapping("staticmethod", "__func__"),
    functools.cached_property: _wrapping("cached_property", "func"),
    functools._lru_cache_wrapper: _lru_cache,
    range: _as_text,
    slice: _as_text,
    bytearray: _bytearray,
    re.Pattern: _pattern,
    object: _sentinel,
    types.MappingProxyType: _proxy,
}
