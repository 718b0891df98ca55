"""Instances of any class: its class, and what `pickle` would need to build an equal one."""

from __future__ import annotations

import copyreg
import functools
import gc
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as default
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jpipe.digest.canonical import Node, Refused, Tag, field
from jpipe.digest.references import refer

if TYPE_CHECKING:
    from jpipe.digest.engine import Encoder

__all__ = ["reduce_enum", "reduce_instance", "reduce_state"]

# Caches that libraries keep inside instances; the hash that attrs keeps depends on PYTHONHASHSEED.
_CACHES = frozenset({"__networkx_cache__", "_attrs_cached_hash"})

_cached_names: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


@dataclass(slots=True)
class _Layout:
    """The children of an object's node, with what Python would write for each, and the shape of it all."""

    shape: list[Any] = default(default_factory=list)
    children: list[Any] = default(default_factory=list)
    names: list[str] = default(default_factory=list)

    def add(self, what: str, values: Iterable[Any], names: Iterable[str]) -> None:
        before = len(self.children)
        self.children.extend(values)
        self.names.extend(names)
        self.shape.append((what, len(self.children) - before))

    def node(self) -> Node:
        names = self.names
        return Node(Tag.OBJECT + field(tuple(self.shape)), self.children, name=lambda i: names[i])


def reduce_enum(member: Any, encoder: Encoder) -> Node:
    """A member of an enum: its class and its name, or of combined flags their value."""
    name = member._name_ if member._name_ is not None else member._value_
    return Node(Tag.KIND + field(("enum", name)), [type(member)])


def reduce_instance(value: Any, encoder: Encoder) -> bytes | Node:
    """An object of a class that has no rules of its own.

    Raises
    ------
    Refused
        If it cannot be pickled.
    """
    kind = type(value)
    if kind is object:
        raise Refused(
            value,
            "has no content, and which object it is means nothing in another process",
            "use None, a string or a member of an Enum instead",
        )
    if issubclass(kind, (set, frozenset)) and kind.__reduce__ in (set.__reduce__, frozenset.__reduce__):
        return _reduce_set_like(value)
    reduced = _ask(value, kind)
    if isinstance(reduced, str):
        return _reduce_global(value, reduced)
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6 or not isinstance(reduced[1], tuple):
        raise Refused(value, f"is reduced to {type(reduced).__name__} by its __reduce__, which is not what pickle takes")
    return _lay_out(value, reduced, encoder)


def reduce_state(value: Any, name: str, first: Any) -> Node:
    """An instance of a class derived from one with rules: its class, its base's content, its own attributes."""
    layout = _Layout([name])
    layout.add("base", [type(value), first], ("", ""))
    _add_state(layout, _own_state(value), type(value))
    return layout.node()


def _ask(value: Any, kind: type) -> Any:
    try:
        registered = copyreg.dispatch_table.get(kind)
        return registered(value) if registered else value.__reduce_ex__(4)
    except Exception as error:
        raise Refused(value, f"cannot be pickled ({type(error).__name__}: {error})") from error


def _reduce_set_like(value: Any) -> Node:
    layout = _Layout(["set"])
    layout.add("elements", [type(value), frozenset(value)], ("", ""))
    _add_state(layout, _own_state(value), type(value))
    return layout.node()


def _own_state(value: Any) -> Any:
    """What `object.__getstate__` gives, for classes that replaced it too."""
    return object.__getstate__(value)


def _reduce_global(value: Any, name: str) -> bytes:
    """Something that stands for itself under a name in a module."""
    module = getattr(value, "__module__", None)
    for candidate in (module, type(value).__module__, "numpy", "scipy.special"):
        found: Any = sys.modules.get(candidate) if isinstance(candidate, str) else None
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return refer(str(candidate), name)
    raise Refused(value, f"pickles as the name {name!r}, under which it is not found")


def _lay_out(value: Any, reduced: tuple[Any, ...], encoder: Encoder) -> Node:
    function, arguments, state, listed, items, setter = reduced + (None,) * (6 - len(reduced))
    layout = _Layout()
    if function is copyreg.__newobj__:  # type: ignore[attr-defined]
        layout.add("new", arguments, (f"({i})" for i in range(len(arguments))))
    else:
        layout.add("call", [function, *arguments], ("", *(f"({i})" for i in range(len(arguments)))))
    if state is not None:
        _add_state(layout, state, type(value))
    if listed is not None:
        children = list(listed)
        layout.add("list", children, (f"[{i}]" for i in range(len(children))))
    if items is not None:
        _add_items(layout, list(items))
    if setter is not None:
        layout.add("setter", [setter], ("",))
    hidden = _hidden_code(value, encoder)
    if hidden:
        layout.add("code", hidden, [""] * len(hidden))
    return layout.node()


def _add_items(layout: _Layout, items: list[tuple[Any, Any]]) -> None:
    children = [part for item in items for part in item]
    layout.add("items", children, (f"[{children[i - i % 2]!r}]" for i in range(len(children))))


def _add_state(layout: _Layout, state: Any, kind: type) -> None:
    """Attributes one by one, so that messages can name them; slots by name, for their order may be a set's."""
    attributes, slots = state, None
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict and type(state[0]) in (dict, type(None)):
        attributes, slots = state[0], dict(sorted(state[1].items()))
    if attributes is not None and (type(attributes) is not dict or set(map(type, attributes)) - {str}):
        layout.add("state", [state], ("",))
        return
    for each in (attributes, slots):
        if each is not None:
            _add_attributes(layout, each, kind)


def _add_attributes(layout: _Layout, attributes: dict[str, Any], kind: type) -> None:
    left_out = _cached(kind)
    if not left_out.isdisjoint(attributes):
        attributes = {name: value for name, value in attributes.items() if name not in left_out}
    layout.shape.append(tuple(attributes))
    layout.add("attributes", attributes.values(), (f".{name}" for name in attributes))


def _cached(kind: type) -> frozenset[str]:
    """Names of attributes that only remember what others say."""
    names = _cached_names.get(kind)
    if names is None:
        spaces = [vars(base) for base in kind.__mro__]
        names = _CACHES.union(
            name for space in spaces for name, held in space.items() if isinstance(held, functools.cached_property)
        )
        _cached_names[kind] = names
    return names


def _hidden_code(value: Any, encoder: Encoder) -> list[Any]:
    """The user's functions inside a callable of an installed package, which may pickle as mere names of them."""
    if not callable(value) or encoder.fingerprint.is_own(type(value)):
        return []
    near = gc.get_referents(value)
    near += [held for inner in near if type(inner) in (dict, tuple, list) for held in gc.get_referents(inner)]
    found = {
        (held.__module__ or "", held.__qualname__, held.__code__.co_firstlineno): held
        for held in near
        if type(held) is types.FunctionType and encoder.fingerprint.is_own(held)
    }
    return [found[key] for key in sorted(found)]
