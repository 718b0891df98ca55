"""Instances of any class: its class, and what `pickle` would need to build an equal one."""

from __future__ import annotations

import copyreg
import functools
import gc
import sys
import types
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jpipe.digest.addresses import addresses_in, may_be_addresses
from jpipe.digest.canonical import Name, Node, Refused, Tag, field, scalars, short
from jpipe.digest.references import refer
from jpipe.system import main_module
from jpipe.system.named_instances import name_of_instance
from jpipe.system.ownership import owns, owns_class, owns_function, owns_module

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jpipe.digest.engine import Encoder

__all__ = ["held_code", "reduce_enum", "reduce_instance", "reduce_state"]

# Caches that libraries keep inside instances; the hash that attrs keeps depends on PYTHONHASHSEED.
_CACHES = frozenset({"__networkx_cache__", "_attrs_cached_hash"})

_PICKLING = ("__reduce_ex__", "__reduce__", "__getstate__")
_OWN_PICKLING = frozenset({*_PICKLING, "__getnewargs__", "__getnewargs_ex__"})
_BUILT_IN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (dict, lambda value: dict(dict.items(value))),
    (list, lambda value: list(list.__iter__(value))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    ((set, frozenset), frozenset),
    (int, int.__int__),
    (float, float.__float__),
    (complex, lambda value: complex(value.real, value.imag)),
    (str, str.__str__),
    (bytes, bytes),
    (BaseException, lambda value: value.args),
)
"""How to get at the content of an instance whose class derives from a built-in one."""
_MOST_SEARCHED = 300
_DEEPEST_SEARCH = 3
_UNUSUAL = frozenset({"__getnewargs__", "__getnewargs_ex__", "__call__", "__slots__"})

_SETS: tuple[Any, ...] = (set.__reduce__, frozenset.__reduce__)

Heads = dict[tuple[str, ...], tuple[bytes, bool]]
"""By names of attributes: what comes before their values, and whether one of them may be an address."""
_NOT_SIMPLE: Heads = {}

_new: Any = copyreg.__newobj__  # type: ignore[attr-defined]

_cached_names: WeakKeyDictionary[type, frozenset[str]] = WeakKeyDictionary()


class _Layout:
    """An object's node in the making: groups of children, each with what Python would write for them."""

    __slots__ = ("children", "groups", "head", "shape")

    def __init__(self, what: str, kind: type, encoder: Encoder) -> None:
        self.shape: list[Any] = [what]
        self.children: list[Any] = []
        self.groups: list[tuple[int, Name]] = []
        of_class = encoder.of_class(kind)
        if isinstance(of_class, bytes):
            self.head = Tag.OBJECT + of_class
        else:
            self.head = Tag.OBJECT
            self.add("class", [of_class], _nameless)

    def add(self, what: Any, values: Collection[Any], name: Name) -> None:
        self.groups.append((len(self.children), name))
        self.children.extend(values)
        self.shape.append((what, len(values)))

    def name(self, i: int) -> str:
        start, name = next(group for group in reversed(self.groups) if group[0] <= i)
        return name(i - start)

    def node(self) -> Node:
        return Node(self.head + field(tuple(self.shape)), self.children, name=self.name)


def _nameless(_i: int) -> str:
    return ""


def _argument(i: int) -> str:
    return f"({i})"


def reduce_enum(member: Any, _encoder: Encoder) -> Node:
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
    heads = encoder.heads.get(kind)
    if heads is None:
        heads = encoder.heads[kind] = {} if _is_simple(value, kind, encoder) else _NOT_SIMPLE
    if heads is not _NOT_SIMPLE:
        return _reduce_simple(value, kind, heads, encoder)
    if kind is object:
        raise Refused(
            value,
            "has no content, and which object it is means nothing in another process",
            "use None, a string or a member of an Enum instead",
        )
    if encoder.as_is and _says_itself_what_it_pickles(kind):
        return _reduce_as_is(value, encoder)
    if issubclass(kind, (set, frozenset)) and kind.__reduce__ in _SETS:
        return reduce_state(value, "set", frozenset(value), encoder)
    reduced = _ask(value, kind)
    if isinstance(reduced, str):
        return _reduce_global(value, reduced, encoder)
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6 or not isinstance(reduced[1], tuple):
        raise Refused(value, f"has a __reduce__ that pickle cannot use: it gives {type(reduced).__name__}")
    return _lay_out(value, reduced, encoder)


def reduce_state(value: Any, what: str, base: Any, encoder: Encoder) -> Node:
    """An instance of a class derived from one with rules: its class, its base's content, its own attributes."""
    layout = _Layout(what, type(value), encoder)
    layout.add("base", [base], _nameless)
    # What `object` keeps of it: classes with rules have replaced this with a form of their own.
    state = object.__getstate__(value)
    if state is not None:
        _add_state(layout, state, value)
    return layout.node()


def _says_itself_what_it_pickles(kind: type) -> bool:
    """Whether code of the user's decides what is kept of an instance."""
    registered: Any = copyreg.dispatch_table.get(kind)
    if registered is not None and owns(registered):
        return True
    return any(owns_class(base) and not _OWN_PICKLING.isdisjoint(vars(base)) for base in kind.__mro__)


def _reduce_as_is(value: Any, encoder: Encoder) -> Node:
    """An instance by what is in memory: its class, the content of a built-in base, its attributes and slots."""
    kind = type(value)
    layout = _Layout("as is", kind, encoder)
    layout.add("base", [content(value) for base, content in _BUILT_IN if issubclass(kind, base)][:1], _nameless)
    state = object.__getstate__(value)
    if state is not None:
        _add_state(layout, state, value)
    if callable(value) and not all(map(owns_class, kind.__mro__[:-1])):  # a base in C may hide what it wraps
        layout.add("code", held_code(value), _nameless)
    return layout.node()


def _is_simple(value: Any, kind: type, encoder: Encoder) -> bool:
    """Whether the attributes in ``__dict__`` are all there is to the instances of its class."""
    if (
        kind is object
        or any(getattr(kind, name) is not getattr(object, name) for name in _PICKLING)
        or kind in copyreg.dispatch_table
        or not _UNUSUAL.isdisjoint(name for base in kind.__mro__ for name in vars(base))
        or _cached(kind) is not _CACHES
        or not isinstance(encoder.of_class(kind), bytes)
    ):
        return False
    try:
        # `object` refuses here if a class written in C keeps something that it does not know of.
        reduced: Any = object.__reduce_ex__(value, 4)
    except TypeError:
        return False
    return reduced[0] is _new and reduced[1] == (kind,) and not any(reduced[3:])


def _reduce_simple(value: Any, kind: type, heads: Heads, encoder: Encoder) -> bytes | Node:
    """The same encoding as from what pickle says, several times faster."""
    attributes: dict[str, Any] = object.__getattribute__(value, "__dict__")
    if not attributes and (named := name_of_instance(value)) is not None:
        return Node(Tag.KIND + field(("named", named)), [kind])
    names = tuple(attributes)
    known = heads.get(names)
    encoder.of_class(kind)  # lists its code
    if known is None:
        if set(map(type, names)) - {str} or not _CACHES.isdisjoint(names):
            return _lay_out(value, _ask(value, kind), encoder)
        layout = _Layout("new", kind, encoder)
        if names:
            _add_state(layout, attributes, value)
        known = heads[names] = layout.node().head, may_be_addresses(names)
    head, looks = known
    children: Collection[Any] = attributes.values()
    if looks:
        children = _told(value, attributes)
    if encoder.atoms.issuperset(map(type, children)):
        return short(head + b"".join(scalars(children)))
    return Node(head, list(children), name=lambda i: f".{names[i]}")


def _ask(value: Any, kind: type) -> Any:
    try:
        registered = copyreg.dispatch_table.get(kind)
        return registered(value) if registered else value.__reduce_ex__(4)
    except Exception as error:
        raise Refused(value, f"cannot be pickled ({type(error).__name__}: {error})") from error


def _reduce_global(value: Any, name: str, encoder: Encoder) -> bytes:
    """Something that stands for itself under a name in a module."""
    module = getattr(value, "__module__", None)
    for candidate in (module, type(value).__module__, "numpy", "scipy.special"):
        if isinstance(candidate, str) and _in_module(candidate, name) is value:
            known = main_module.known_as(candidate)
            if candidate == "__main__" or owns_module(sys.modules[candidate]):
                encoder.note_code(candidate, name)
            return refer(known, name)
    raise Refused(value, f"pickles as the name {name!r}, under which it is not found")


def _in_module(module: str, name: str) -> Any:
    if module == "__main__":
        return main_module.find(module, name)
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _lay_out(value: Any, reduced: tuple[Any, ...], encoder: Encoder) -> Node:
    function, arguments, state, listed, items, setter = reduced + (None,) * (6 - len(reduced))
    kind = type(value)
    if function is _new and arguments[0] is kind:
        layout = _Layout("new", kind, encoder)
        if len(arguments) > 1:
            layout.add("arguments", arguments[1:], _argument)
    else:
        layout = _Layout("call", kind, encoder)
        layout.add("function", [function], _nameless)
        layout.add("arguments", arguments, _argument)
    if state is not None:
        _add_state(layout, state, value)
    if listed is not None:
        layout.add("list", list(listed), lambda i: f"[{i}]")
    if items is not None:
        children = [part for item in items for part in item]
        layout.add("items", children, lambda i: f"[{children[i - i % 2]!r}]")
    if setter is not None:
        layout.add("setter", [setter], _nameless)
    if encoder.may_hide_code(kind):
        layout.add("code", held_code(value), _nameless)
    return layout.node()


def _add_state(layout: _Layout, state: Any, value: Any) -> None:
    """Attributes one by one, so that messages can name them; slots by name, for their order may be a set's."""
    kind = type(value)
    attributes, slots = state, None
    fields = tuple(getattr(kind, "__dataclass_fields__", ()))
    if type(state) is list and len(state) == len(fields):  # what a frozen dataclass with slots gives
        attributes = dict(zip(fields, state, strict=True))
    elif type(state) is tuple and len(state) == 2 and type(state[1]) is dict and type(state[0]) in (dict, type(None)):
        attributes, slots = state[0], dict(sorted(state[1].items()))
    if attributes is not None and (type(attributes) is not dict or set(map(type, attributes)) - {str}):
        layout.add("state", [state], _nameless)
        return
    for each in (attributes, slots):
        if each is not None:
            _add_attributes(layout, each, value)


def _add_attributes(layout: _Layout, attributes: dict[str, Any], value: Any) -> None:
    left_out = _cached(type(value))
    if not left_out.isdisjoint(attributes):
        attributes = {name: value for name, value in attributes.items() if name not in left_out}
    names = tuple(attributes)
    children = _told(value, attributes) if may_be_addresses(names) else list(attributes.values())
    layout.add(names, children, lambda i: f".{names[i]}")


def _told(value: Any, attributes: dict[str, Any]) -> Collection[Any]:
    """What attributes hold; of an address, what lies there."""
    found = addresses_in(value, attributes)
    if not found:
        return attributes.values()
    nodes = {name: Node(Tag.KIND + field(("address", place)), ()) for name, place in found.items()}
    return [nodes.get(name, held) for name, held in attributes.items()]


def _cached(kind: type) -> frozenset[str]:
    """Names of attributes that only remember what others say."""
    names = _cached_names.get(kind)
    if names is None:
        spaces = [vars(base) for base in kind.__mro__]
        names = _CACHES.union(
            name for space in spaces for name, held in space.items() if isinstance(held, functools.cached_property)
        )
        if names == _CACHES:
            names = _CACHES
        _cached_names[kind] = names
    return names


def held_code(value: Any) -> list[Any]:
    """The user's functions and classes that an object refers to, as the garbage collector sees it.

    What a library's object pickles may be mere names of them, or nothing (a `toolz.curry`, a `wrapt` proxy).
    """
    found: dict[tuple[str, str, int], Any] = {}
    seen, stack = {id(value)}, [(value, 0)]
    while stack and len(seen) < _MOST_SEARCHED:
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
                    found[str(item.__module__), item.__qualname__, 0] = item
            elif depth < _DEEPEST_SEARCH and not _is_namespace(item):
                stack.append((item, depth + 1))
    return [found[key] for key in sorted(found)]


def _is_namespace(item: Any) -> bool:
    """A module or its globals: from there everything could be reached."""
    return type(item) is types.ModuleType or (type(item) is dict and "__builtins__" in item)
