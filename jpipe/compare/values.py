"""Two values of any kind: what differs between them, found by walking both."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from jpipe.compare import arrays, figures, text
from jpipe.compare.model import EXACT, Change, Tolerance, short
from jpipe.compare.tables import compare_tables, is_table, table_of
from jpipe.system.figures import is_figure

__all__ = ["MOST_CHANGES", "differences"]

MOST_CHANGES = 1000
"""So many changes are told of two values."""
_DEEPEST = 50


def differences(old: Any, new: Any, tolerance: Tolerance = EXACT) -> list[Change]:
    """What differs between two values; nothing where they are the same.

    Parameters
    ----------
    old, new
        Any values. NaN is the same as NaN.
    tolerance
        How far apart numbers may be, wherever they stand.

    Returns
    -------
    At most `MOST_CHANGES`, in the order in which they stand in the values.
    """
    return _Walk(tolerance).changes(old, new)


class _Walk:
    """One comparison: the changes so far, and the pairs that are being looked at, which may hold themselves."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._open: set[tuple[int, int]] = set()

    def changes(self, old: Any, new: Any) -> list[Change]:
        found: list[Change] = []
        for change in self.walk(old, new, ""):
            found.append(change)
            if len(found) >= MOST_CHANGES:
                break
        return found

    def walk(self, old: Any, new: Any, where: str) -> Iterator[Change]:
        if old is new:
            return
        pair = id(old), id(new)
        if pair in self._open or len(self._open) > _DEEPEST:
            return
        self._open.add(pair)
        try:
            yield from self._compared(old, new, where)
        finally:
            self._open.discard(pair)

    def _compared(self, old: Any, new: Any, where: str) -> Iterator[Change]:
        if _is_number(old) and _is_number(new):
            yield from _numbers(old, new, where, self._tolerance)
        elif is_table(old) and is_table(new):
            yield from compare_tables(table_of(old), table_of(new), where, self.walk)
        elif arrays.is_array(old) and arrays.is_array(new):
            yield from arrays.compare_arrays(old, new, where, self._tolerance, self.walk)
        elif is_figure(old) and is_figure(new):
            yield from figures.compare_figures(old, new, where)
        elif type(old) is not type(new):
            yield Change(where, "type", short(old), short(new), detail=_types(old, new))
        else:
            yield from self._same_type(old, new, where)

    def _same_type(self, old: Any, new: Any, where: str) -> Iterator[Change]:
        if isinstance(old, (str, bytes, bytearray)):
            yield from text.compare_text(old, new, where)
        elif isinstance(old, Mapping):
            yield from self._mappings(old, new, where)
        elif isinstance(old, tuple) and hasattr(old, "_fields"):
            one, other = (dict(zip(value._fields, value, strict=True)) for value in (old, new))
            yield from self._mappings(one, other, where, _attribute)
        elif isinstance(old, (list, tuple)):
            yield from self._sequences(old, new, where)
        elif isinstance(old, AbstractSet):
            yield from _sets(old, new, where)
        else:
            yield from self._objects(old, new, where)

    def _mappings(
        self, old: Mapping[Any, Any], new: Mapping[Any, Any], where: str, place: Callable[[Any], str] | None = None
    ) -> Iterator[Change]:
        place = place or _item
        for key, value in old.items():
            if key in new:
                yield from self.walk(value, new[key], where + place(key))
            else:
                yield Change(where + place(key), "removed", old=short(value))
        for key, value in new.items():
            if key not in old:
                yield Change(where + place(key), "added", new=short(value))
        if old.keys() == new.keys() and list(old) != list(new):
            yield Change(where, "moved", short(list(old)), short(list(new)), detail="the keys are in another order")

    def _sequences(self, old: Sequence[Any], new: Sequence[Any], where: str) -> Iterator[Change]:
        for index, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from self.walk(one, other, f"{where}[{index}]")
        for index in range(len(new), len(old)):
            yield Change(f"{where}[{index}]", "removed", old=short(old[index]))
        for index in range(len(old), len(new)):
            yield Change(f"{where}[{index}]", "added", new=short(new[index]))

    def _objects(self, old: Any, new: Any, where: str) -> Iterator[Change]:
        """Instances, by their attributes; what has none, by its ``==`` and its repr."""
        one, other = _attributes(old), _attributes(new)
        if one or other:
            yield from self._mappings(one, other, where, _attribute)
        elif not _equal(old, new):
            before, after = short(old), short(new)
            detail = "" if before != after else f"two {type(old).__name__} that are not equal and look the same"
            yield Change(where, "value", before, after, detail=detail)


def _numbers(old: Any, new: Any, where: str, tolerance: Tolerance) -> Iterator[Change]:
    is_flag = isinstance(old, bool) or isinstance(new, bool)
    if is_flag and type(old) is not type(new):
        yield Change(where, "type", short(old), short(new), detail=_types(old, new))
    elif is_flag:
        if old != new:
            yield Change(where, "value", short(old), short(new))
    elif not _close(old, new, tolerance):
        absolute = _real(new - old)
        size = _real(old)
        relative = absolute / abs(size) if absolute is not None and size else None
        yield Change(where, "number", _figure(old), _figure(new), absolute, relative)
    elif type(old) is not type(new) and tolerance == EXACT:
        yield Change(where, "type", short(old), short(new), detail=_types(old, new))


def _close(old: Any, new: Any, tolerance: Tolerance) -> bool:
    if old == new or (old != old and new != new):
        return True
    if not any(tolerance):
        return False
    gap, larger = abs(new - old), max(abs(old), abs(new))
    return math.isfinite(larger) and bool(gap <= max(tolerance.absolute, tolerance.relative * larger))


def _real(value: Any) -> float | None:
    """A difference as a float; None for what has no size on a line, as a complex number."""
    try:
        return None if value is None or isinstance(value, complex) else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _figure(value: Any) -> str:
    """A number with all digits that Python shows, whatever library it is of."""
    return str(value.item() if hasattr(value, "item") else value)


def _sets(old: Any, new: Any, where: str) -> Iterator[Change]:
    for gone in sorted(map(short, old - new)):
        yield Change(where, "removed", old=gone)
    for come in sorted(map(short, new - old)):
        yield Change(where, "added", new=come)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Number) and getattr(value, "shape", ()) == ()


def _attributes(value: Any) -> dict[str, Any]:
    """What an instance holds, as it is pickled or as it stands."""
    if isinstance(value, type) or callable(value):
        return {}
    slots = (name for kind in type(value).__mro__ for name in _names(kind.__dict__.get("__slots__", ())))
    held = {
        name: getattr(value, name) for name in slots if name not in ("__dict__", "__weakref__") and hasattr(value, name)
    }
    return {**held, **getattr(value, "__dict__", {})}


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _equal(old: Any, new: Any) -> bool:
    """What ``==`` says; a user's class may raise, or answer with something else than a truth."""
    try:
        return bool(old == new)
    except Exception:
        return False


def _item(key: Any) -> str:
    return f"[{short(key)}]"


def _attribute(name: Any) -> str:
    return f".{name}"


def _types(old: Any, new: Any) -> str:
    one, other = type(old), type(new)
    if one.__name__ != other.__name__:
        return f"{one.__name__} → {other.__name__}"
    return f"{one.__module__}.{one.__qualname__} → {other.__module__}.{other.__qualname__}"
