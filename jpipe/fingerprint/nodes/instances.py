"""Instances as nodes: own ones by class and state, foreign ones by what they pickle, opaque ones by what they hold."""

from __future__ import annotations

import functools
import gc
import types
from collections.abc import Callable
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Edge, Graph, Node
from jpipe.fingerprint.source.plain_bytes import leaf_bytes
from jpipe.system.ownership import is_kind, owns_class, owns_function, top_level

HOOK = "__jpipe_fingerprint__"
"""A method of a class that returns what counts of an instance, in place of its attributes."""
_MOST_OBJECTS_SEARCHED = 300
_DEEPEST_SEARCH = 3
_SCALAR_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, bytes),
    (complex, complex),
)


def fill_opaque(graph: Graph, node: Node, obj: Any) -> None:
    """Something that cannot be looked into: its type counts, and later the statements that build it."""
    node.put(combine("opaque", str(type(obj).__module__), type(obj).__qualname__), data=True)
    node.opaque = True


def fill_own_instance(graph: Graph, node: Node, obj: Any, kind: type) -> None:
    """An instance of a class of the user's: the class, the attributes, and the content of a built-in base."""
    edges: list[Edge] = [("class", graph.value(kind))]
    hook = getattr(kind, HOOK, None)
    if hook is not None:
        edges.append(("hook", graph.value(hook(obj))))
    else:
        state = _state(obj, kind)
        edges += [(f".{name}", graph.value(state[name])) for name in sorted(state, key=str)]
        edges += _base_content(graph, obj)
        if callable(obj) and any(not owns_class(c) for c in kind.__mro__[1:-1]):
            edges += _held_code(graph, obj)  # a base in C may hide what it wraps
    node.put(combine("instance"), edges, data=True)


def _state(obj: Any, kind: type) -> dict[str, Any]:
    """Attributes and slots, without what a cached_property keeps."""
    state: dict[str, Any] = {}
    try:
        attributes = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        attributes = None
    if isinstance(attributes, dict):
        state.update(
            (name, value)
            for name, value in list(attributes.items())
            if not isinstance(_static_attribute(kind, name), functools.cached_property)
        )
    for cls in kind.__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            private = (
                f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            )
            descriptor = cls.__dict__.get(private)
            if isinstance(descriptor, types.MemberDescriptorType):
                try:
                    state[private] = descriptor.__get__(obj, kind)
                except AttributeError:
                    continue
    return state


def _static_attribute(kind: type, name: str) -> Any:
    return next((cls.__dict__[name] for cls in kind.__mro__ if name in cls.__dict__), None)


def _base_content(graph: Graph, obj: Any) -> list[Edge]:
    if is_kind(obj, dict):
        return [("items", graph.value(dict(dict.items(obj))))]
    if is_kind(obj, (list, tuple)):
        items = list.__iter__(obj) if is_kind(obj, list) else tuple.__iter__(obj)
        return [("items", graph.value(tuple(items)))]
    if is_kind(obj, (set, frozenset)):
        return [("items", graph.value(frozenset(obj)))]
    if is_kind(obj, BaseException):
        return [("args", graph.value(obj.args))]
    for base, convert in _SCALAR_BASES:
        if is_kind(obj, base):
            return [("base", graph.leaf(leaf_bytes(convert(obj))))]
    return []


def fill_foreign_instance(graph: Graph, node: Node, obj: Any, kind: type) -> None:
    """An instance of an installed class: package, type, and what it would pickle.

    What pickles by name, or not at all, may still hold functions of the user's (a toolz.curry, a wrapt proxy):
    they are looked for in what the object refers to.
    """
    module = str(kind.__module__ or "builtins")
    label = combine("foreign", module, kind.__qualname__)
    package: Edge = ("package", graph.package(graph.packages.version(top_level(module))))
    held = _held_code(graph, obj) if callable(obj) else []
    try:
        if issubclass(kind, (types.GeneratorType, types.CoroutineType)) or hasattr(kind, "__next__"):
            raise TypeError("iterators change while they are looked at")
        reduced = obj.__reduce_ex__(4)
        if isinstance(reduced, str):
            node.put(combine(label, reduced), [package, *held], data=True)
            return
        pieces = [*reduced, None, None, None][:5]
        edges: list[Edge] = [package, ("f", graph.value(pieces[0])), ("a", graph.value(pieces[1]))]
        for name, piece in zip("sld", pieces[2:], strict=True):
            if piece is not None:
                edges.append((name, graph.value(piece if name == "s" else list(piece))))
    except Exception:  # any class may raise anything from here; a value must never break a fingerprint
        fill_opaque(graph, node, obj)
        node.edges += [package, *(held or _held_code(graph, obj))]
        return
    node.put(label, edges + held, data=True)


def _held_code(graph: Graph, obj: Any) -> list[Edge]:
    """The user's functions and classes among what an object refers to, as the garbage collector sees it."""
    found: dict[tuple[str, str, int], Any] = {}
    seen, stack = {id(obj)}, [(obj, 0)]
    while stack and len(seen) < _MOST_OBJECTS_SEARCHED:
        current, depth = stack.pop()
        for item in gc.get_referents(current):
            if id(item) in seen:
                continue
            seen.add(id(item))
            if type(item) is types.FunctionType:
                if owns_function(item):
                    found[item.__module__ or "", item.__qualname__, item.__code__.co_firstlineno] = item
                elif depth < _DEEPEST_SEARCH:
                    stack += [(cell, depth + 1) for cell in item.__closure__ or ()]
            elif issubclass(type(item), type):
                if owns_class(item):
                    found[item.__module__, item.__qualname__, 0] = item
            elif depth < _DEEPEST_SEARCH and not _is_namespace(item):
                stack.append((item, depth + 1))
    return [(f"held{k}", graph.value(found[key])) for k, key in enumerate(sorted(found))]


def _is_namespace(item: Any) -> bool:
    """A module or its globals: from there everything could be reached."""
    return type(item) is types.ModuleType or (type(item) is dict and "__builtins__" in item)
