"""Two arrays: how far apart they are, where most, and in how many of their elements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jpipe.compare.model import Change, Tolerance, short

__all__ = ["compare_arrays", "is_array"]

_WALK_UP_TO = 1000
"""Arrays of so many objects or records are compared one by one."""
_Walk = Callable[[Any, Any, str], Iterator[Change]]


def is_array(value: Any) -> bool:
    """Whether it is an array or can become one: numpy's, a tensor, a sparse matrix, xarray's."""
    if isinstance(value, type):
        return False
    return isinstance(getattr(value, "shape", None), tuple) and (hasattr(value, "__array__") or hasattr(value, "tocoo"))


def compare_arrays(old: Any, new: Any, where: str, tolerance: Tolerance, walk: _Walk) -> Iterator[Change]:
    """What differs between two arrays.

    Parameters
    ----------
    walk
        Compares elements that are objects.
    """
    one, other = _plain(old), _plain(new)
    if type(old) is not type(new) and "memmap" not in type(old).__name__ + type(new).__name__:
        yield Change(where, "type", short(old), short(new), detail=f"{type(old).__name__} → {type(new).__name__}")
    if one.shape != other.shape:
        yield Change(where, "array", _shape(one), _shape(other), detail="the shape")
        return
    if one.dtype != other.dtype and not (any(tolerance) and _is_numeric(one) and _is_numeric(other)):
        yield Change(where, "type", str(one.dtype), str(other.dtype), detail="the dtype")
    if one.dtype.names and one.dtype.names == other.dtype.names:
        for field in one.dtype.names:
            yield from compare_arrays(one[field], other[field], f"{where}[{field!r}]", tolerance, walk)
    elif _is_numeric(one) and _is_numeric(other):
        yield from _numeric(one, other, where, tolerance)
    else:
        yield from _others(one, other, where, walk)


def _numeric(old: Any, new: Any, where: str, tolerance: Tolerance) -> Iterator[Change]:
    import numpy as np

    kind = complex if "c" in (old.dtype.kind, new.dtype.kind) else float
    with np.errstate(all="ignore"):
        same = (old == new) | ((old != old) & (new != new))
        if same.all():
            return
        one, other = old[~same].astype(kind), new[~same].astype(kind)
        gap = np.abs(other - one)
        if any(tolerance):
            larger = np.maximum(np.abs(one), np.abs(other))
            far = ~(gap <= np.maximum(tolerance.absolute, tolerance.relative * larger))
            if not far.any():
                return
            same[~same] = ~far
            one, other, gap = one[far], other[far], gap[far]
        shares = gap / np.abs(one)
    yield _change(old, new, where, same, gap, shares)


def _change(old: Any, new: Any, where: str, same: Any, gap: Any, shares: Any) -> Change:
    """An array's difference in one line; `gap` and `shares` are those of the elements that are not `same`."""
    import numpy as np

    places = np.argwhere(~same)
    finite = np.where(np.isfinite(gap), gap, np.inf)
    most = int(finite.argmax())
    at = tuple(int(number) for number in places[most])
    place = ", ".join(map(str, at))
    known = shares[np.isfinite(shares)]
    facts = [
        f"{len(places):,} of {same.size:,} elements",
        f"max {finite[most]:.3g} at [{place}]" if at else "",
        f"mean {float(gap[np.isfinite(gap)].mean()):.3g}" if np.isfinite(gap).any() else "",
    ]
    one, other = old[at], new[at]
    largest = float(known.max()) if known.size else None
    return Change(where, "array", str(one), str(other), float(finite[most]), largest, ", ".join(filter(None, facts)))


def _others(old: Any, new: Any, where: str, walk: _Walk) -> Iterator[Change]:
    """Arrays of text, dates or objects, element by element."""
    import numpy as np

    try:
        same = np.asarray(old == new)
    except Exception:  # elements may have an ``==`` that raises
        same = np.zeros(old.shape, bool)
    if same.shape != old.shape or same.dtype != bool:
        same = np.zeros(old.shape, bool)
    places = np.argwhere(~same)
    found = False
    for place in places[:_WALK_UP_TO]:
        at = tuple(int(number) for number in place)
        inside = f"{where}[{', '.join(map(str, at))}]" if at else where
        if old.dtype == object or new.dtype == object:
            for change in walk(old[at], new[at], inside):
                found = True
                yield change
        elif not (old[at] != old[at] and new[at] != new[at]):  # NaT
            found = True
            yield Change(inside, "value", str(old[at]), str(new[at]))
    if len(places) > _WALK_UP_TO and found:
        yield Change(where, "array", _shape(old), _shape(new), detail=f"{len(places):,} of {same.size:,} elements")


def _plain(value: Any) -> Any:
    """A numpy array of what an array of another library holds."""
    import numpy as np

    if hasattr(value, "tocoo"):
        return np.asarray(value.toarray())
    for method in ("detach", "cpu", "numpy"):
        if not isinstance(value, np.ndarray) and hasattr(value, method) and hasattr(value, "__array__"):
            value = getattr(value, method)()
    return np.asarray(value)


def _is_numeric(array: Any) -> bool:
    return array.dtype.kind in "biufc"


def _shape(array: Any) -> str:
    return " × ".join(map(str, array.shape)) or "a single value"
