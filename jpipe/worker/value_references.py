"""Arguments on their way to a worker: small ones by value, results and large values by reference.

The arguments of an item travel as one pickle. A value that is in the store stands in it as a `Reference`, which turns
into the value when it is unpickled inside `loaded_with`: large arrays are mapped then, never copied through a pipe, and
each item gets objects of its own.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jpipe.store import Held, Store, Where
from jpipe.store.format.places import from_columns, to_columns
from jpipe.system import main_module

__all__ = [
    "Given",
    "Live",
    "Payload",
    "Reference",
    "ReferenceList",
    "ValueSource",
    "arguments_of",
    "loaded_with",
    "payload_of",
]

_UNCHANGING = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Live(NamedTuple):
    """Arguments that cannot be pickled; they can be used in the process that has them only."""

    arguments: Mapping[str, Any]


class Given(NamedTuple):
    """Arguments that are numbers or texts: nobody can change them, and they need not be pickled by themselves."""

    arguments: Mapping[str, Any]


Payload = bytes | Live | Given


@dataclass(slots=True, eq=False, repr=False)
class ValueSource:
    """Where references are resolved: a store, how large arrays arrive, and whole values that parts were taken of."""

    store: Store
    mmap_mode: Any = "c"
    _wholes: dict[Where, _Whole] = field(default_factory=dict)

    def value(self, where: Where, path: tuple[Any, ...]) -> Any:
        """A value from the store, or the part of it at `path`; no item gets an object that another has got."""
        if isinstance(where, Held) or not path:
            return _part(self._load(where), path)
        whole = self._wholes.get(where)
        if whole is None or whole.was_given(path):
            whole = self._wholes[where] = _Whole(self._load(where))
        return whole.part(path)

    def values(self, places: Iterable[Where]) -> list[Any]:
        """Many values from the store."""
        return self.store.load_many(places, mmap_mode=self.mmap_mode)

    def _load(self, where: Where) -> Any:
        return self.store.load(where, mmap_mode=self.mmap_mode)


@dataclass(slots=True, eq=False, repr=False)
class _Whole:
    """A value whose parts are given away, each at most once: whoever has one may change it."""

    value: Any
    _given: set[tuple[Any, ...]] = field(default_factory=set)
    _above: set[tuple[Any, ...]] = field(default_factory=set)

    def was_given(self, path: tuple[Any, ...]) -> bool:
        """Whether somebody has the part at `path`, something inside of it, or what it is inside of."""
        return path in self._above or any(path[:length] in self._given for length in range(1, len(path) + 1))

    def part(self, path: tuple[Any, ...]) -> Any:
        """The part at `path`."""
        found = _part(self.value, path)
        if type(found) not in _UNCHANGING:
            self._given.add(path)
            self._above.update(path[:length] for length in range(1, len(path)))
        return found


def _part(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


class Reference(NamedTuple):
    """Stands for a value in the store, or for the part of it at `path`, until it is unpickled."""

    where: Where
    path: tuple[Any, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self.where, Held):
            raise pickle.PicklingError("a result that is kept in memory cannot leave this process")
        return _resolve, (self.where, self.path)


class ReferenceList(NamedTuple):
    """Stands for the list of the results of a mapped call."""

    places: tuple[Where, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        if any(isinstance(where, Held) for where in self.places):
            raise pickle.PicklingError("a result that is kept in memory cannot leave this process")
        return _resolve_list, to_columns(self.places)


_sources = threading.local()


class loaded_with:
    """Resolve the references that are unpickled in this thread with `source`."""

    __slots__ = ("_before", "_source")

    def __init__(self, source: ValueSource) -> None:
        self._source = source

    def __enter__(self) -> None:
        self._before = getattr(_sources, "source", None)
        _sources.source = self._source

    def __exit__(self, *error: object) -> None:
        _sources.source = self._before


def _resolve(where: Where, path: tuple[Any, ...]) -> Any:
    return _sources.source.value(where, path)


def _resolve_list(*columns: Any) -> list[Any]:
    return _sources.source.values(from_columns(columns))  # type: ignore[no-any-return]


def payload_of(arguments: Mapping[str, Any]) -> Payload:
    """The pickled arguments; as they are where they cannot be pickled."""
    try:
        payload = pickle.dumps(arguments, 5)
        if b"__main__" not in payload:
            return payload
    except Exception:
        pass
    try:
        return main_module.dumps(dict(arguments))
    except Exception:
        return Live(arguments)


def arguments_of(payload: Payload, source: ValueSource) -> dict[str, Any]:
    """The arguments by name, with all references resolved."""
    if isinstance(payload, bytes):
        return main_module.loads(payload)  # type: ignore[no-any-return]
    if isinstance(payload, Given):
        return dict(payload.arguments)
    return {name: _live(value, source) for name, value in payload.arguments.items()}


def _live(value: Any, source: ValueSource) -> Any:
    if type(value) is Reference:
        return source.value(value.where, value.path)
    if type(value) is ReferenceList:
        return source.values(value.places)
    if type(value) in (list, tuple):
        return type(value)(_live(item, source) for item in value)
    if type(value) is dict:
        return {key: _live(item, source) for key, item in value.items()}
    return value
