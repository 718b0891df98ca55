"""What the user's modules hold, compared without looking at large things: what did code leave behind in them?"""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.system.ownership import is_kind, owns_class, owns_function, owns_module

__all__ = ["ModuleState", "changes_since", "state_of_modules"]

MOST = 50_000
"""Of so many objects no more are looked at: then it counts as changed."""
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_ABOUT_THE_MODULE = frozenset(
    {"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__path__", "__file__", "__cached__"}
    | {"__builtins__", "__warningregistry__"}
)
_KEPT_BY_PYTHON = frozenset({"__slotnames__", "_abc_impl", "__annotations_cache__", "__dict__", "__weakref__"})
_LISTS = (list, tuple, set, frozenset, deque)

OF_FUNCTIONS, OF_INSTANCES = ":", "."
"""Before the qualified name of a function that holds something in variables around it or in defaults, which only its
own code gets at; and before what is held by an instance, which no code gets at that did not get at that instance."""
Inside = list[tuple[str | None, Any]]
"""What an object holds: each with the name under which code gets at it, None for what is in a container."""


class ModuleState(NamedTuple):
    """What modules hold.

    Parameters
    ----------
    modules
        By name of a module: the id of its namespace.
    held
        By id of an object: what stands for each thing in it, under its name.
    """

    modules: dict[str, int]
    held: dict[int, tuple[tuple[str | None, int], ...]]


def state_of_modules() -> ModuleState | None:
    """What all loaded modules of the user's hold; None where that is too much to look at."""
    return _state(_Walk())


def _state(walk: _Walk) -> ModuleState | None:
    modules = list(sys.modules.items())
    own = [(name, module) for name, module in modules if is_kind(module, types.ModuleType) and owns_module(module)]
    numbers = {name: walk.of(vars(module)) for name, module in own}
    return None if walk.left < 0 else ModuleState(numbers, walk.held)


def changes_since(before: ModuleState) -> tuple[frozenset[str], ModuleState] | None:
    """Names one of which code has to use in order to find what is not as it was, and how it is now.

    Whatever is in a module is found under a name in a module from which a way leads to it, or that of a member of a
    class or of a variable of a function on the way. None where there is too much to look at.
    """
    walk = _Walk(follow=True)
    now = _state(walk)
    if now is None:
        return None
    spaces = {number: name for name, number in now.modules.items()}
    labels: set[str] = set()
    stack = []
    for number, pieces in walk.held.items():
        known = before.held.get(number)
        if number in spaces and before.modules.get(spaces[number]) != number:
            labels.update(_of_new_module(spaces[number], walk, number, before))
        elif known is not None and known != pieces:
            stack.append(number)
            labels.update(walk.spelled(label, number) for label, _ in {*known} ^ {*pieces} if label is not None)
    labels.update(name.rpartition(".")[2] for name in before.modules.keys() - now.modules.keys())
    return frozenset(labels | _on_the_way(walk, stack, spaces)), now


def _on_the_way(walk: _Walk, changed: list[int], spaces: dict[int, str]) -> set[str]:
    """The names under which objects are held, and those that hold them, up to modules."""
    labels: set[str] = set()
    seen, stack = set(changed), [number for number in changed if number not in spaces]
    while stack:
        for label, holder in walk.holders.get(stack.pop(), ()):
            if label is not None:
                labels.add(walk.spelled(label, holder))
            if holder not in seen:
                seen.add(holder)
                if holder not in spaces:
                    stack.append(holder)
    return labels


def _of_new_module(name: str, walk: _Walk, number: int, before: ModuleState) -> Iterator[str]:
    """Names in a module that was not there, without those of what was there already."""
    yield from name.split(".")
    yield name
    modules = set(map(id, list(sys.modules.values())))
    for label, inner in walk.held[number]:
        if label is not None and inner not in before.held and inner not in modules:
            yield label


class _Walk:
    """Follows what can be changed, each object once.

    Parameters
    ----------
    follow
        Whether to note who holds what, in `holders`.
    """

    def __init__(self, *, follow: bool = False) -> None:
        self.left = MOST
        self.held: dict[int, tuple[tuple[str | None, int], ...]] = {}
        self.holders: dict[int, list[tuple[str | None, int]]] = {}
        self._follow = follow
        self.spaces: set[int] = set()
        self._classes: set[int] = set()

    def spelled(self, label: str, holder: int) -> str:
        """The name of what an object holds; a function inside an instance is got at through that alone."""
        if not label.startswith(OF_FUNCTIONS):
            return label
        holders = self.holders.get(holder, ())
        is_named = any(number in self.spaces or number in self._classes for _, number in holders)
        return label if is_named else OF_INSTANCES + label

    def of(self, namespace: dict[str, Any]) -> int:
        """The id of a namespace, after a walk through all below it."""
        self.spaces.add(id(namespace))
        stack: list[Any] = [namespace]
        while stack and self.left >= 0:
            obj = stack.pop()
            number = id(obj)
            if number in self.held:
                continue
            self.left -= 1
            if is_kind(obj, type):
                self._classes.add(number)
            inside = _of_namespace(obj) if obj is namespace else _inside(obj, type(obj))
            pieces = []
            for label, inner in inside:
                kind = type(inner)
                if kind in _PLAIN:
                    pieces.append((label, hash((kind, "-1" if inner == -1 else inner))))  # which -2 has, too
                    continue
                pieces.append((label, id(inner)))
                if not issubclass(kind, types.ModuleType):
                    stack.append(inner)
                    if self._follow:
                        self.holders.setdefault(id(inner), []).append((label, number))
            self.held[number] = tuple(pieces)
        return id(namespace)


def _of_namespace(namespace: dict[str, Any]) -> Inside:
    return [(name, value) for name, value in list(namespace.items()) if name not in _ABOUT_THE_MODULE]


def _inside(obj: Any, kind: type) -> Inside:
    """What an object holds that the user's code may change."""
    if kind is types.FunctionType:
        return _inside_function(obj)
    if issubclass(kind, type):
        return _inside_class(obj) if owns_class(obj) else []
    if kind is functools._lru_cache_wrapper:
        return [*((None, count) for count in obj.cache_info()[1:]), (None, obj.__wrapped__)]
    if kind in (property, functools.partial, types.MethodType, classmethod, staticmethod):
        names = ("fget", "fset", "fdel", "func", "args", "keywords", "__func__", "__self__")
        return [(None, getattr(obj, name)) for name in names if hasattr(obj, name)]
    if kind.__name__ == "ndarray" and kind.__module__ == "numpy":
        return [(None, obj.tobytes() if obj.nbytes < 1 << 20 and not obj.dtype.hasobject else repr(obj.shape))]
    found: Inside = []
    if issubclass(kind, dict):
        if "__builtins__" in obj:  # the globals of a module: looked at for themselves
            obj = {name: value for name, value in dict.items(obj) if not name.startswith("__")}
        found += [(None, item) for pair in list(dict.items(obj)) for item in pair]
    elif issubclass(kind, _LISTS):
        found += [(None, item) for item in obj] if kind in _LISTS else []
    if kind not in (dict, *_LISTS):
        found += _attributes(obj, kind)
        if owns_class(kind):
            found.append((None, kind))
    return found


def _inside_class(cls: type) -> Inside:
    members = [(name, value) for name, value in list(vars(cls).items()) if name not in _KEPT_BY_PYTHON]
    return [*members, *((None, base) for base in cls.__bases__)]


def _inside_function(function: types.FunctionType) -> Inside:
    found: Inside = [(OF_INSTANCES + name, value) for name, value in vars(function).items()]
    label = OF_FUNCTIONS + function.__code__.co_qualname if owns_function(function) else OF_INSTANCES
    found += ((label, value) for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()))
    for cell in function.__closure__ or ():
        try:
            found.append((label, cell.cell_contents))
        except ValueError:
            continue
    return found if found or owns_function(function) else []


def _attributes(obj: Any, kind: type) -> Inside:
    """Attributes and slots, without asking code of the user's."""
    found: Inside = []
    try:
        attributes = object.__getattribute__(obj, "__dict__")
    except AttributeError:
        attributes = None
    if isinstance(attributes, dict):
        found += [(f"{OF_INSTANCES}{name}", value) for name, value in list(attributes.items())]
    for cls in kind.__mro__:
        for name, value in list(vars(cls).items()) if "__slots__" in vars(cls) else ():
            if isinstance(value, types.MemberDescriptorType):
                try:
                    found.append((OF_INSTANCES + name, value.__get__(obj, kind)))
                except AttributeError:
                    continue
    return found
