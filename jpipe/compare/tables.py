"""Two tables: which rows came, went and moved, and which cells changed; rows are matched by their labels.

DataFrames and Series of pandas, frames of polars and tables of Arrow are read into one form first. Rows whose labels
say nothing (0, 1, 2, …) are matched by what they hold, so that a row that was moved is told as that.
"""

from __future__ import annotations

import bisect
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from jpipe.compare.model import Change, short

__all__ = ["Table", "compare_tables", "is_table", "table_of"]

_Walk = Callable[[Any, Any, str], Iterator[Change]]
_CONTENT_UP_TO = 200_000
"""So many rows are matched by what they hold; of more, the first with the first."""


class Table(NamedTuple):
    """A table in the form that is compared.

    Parameters
    ----------
    labels
        Of the rows.
    columns
        By name, the cells as a numpy array.
    types
        By name, the type of a column as text.
    is_numbered
        Whether the labels are only the rows' numbers.
    """

    labels: Sequence[Any]
    columns: dict[Any, Any]
    types: dict[Any, str]
    is_numbered: bool

    @property
    def height(self) -> int:
        """How many rows it has."""
        return len(self.labels)

    def row(self, number: int) -> tuple[Any, ...]:
        """The cells of a row; NaN as None, so that rows that hold it can be equal."""
        cells = (column[number] for column in self.columns.values())
        return tuple(None if cell is None or _is_nan(cell) else cell for cell in cells)


def is_table(value: Any) -> bool:
    """Whether it is a table of a library that is loaded."""
    return any(
        isinstance(value, getattr(module, name))
        for library, names in _KINDS.items()
        if (module := sys.modules.get(library)) is not None
        for name in names
        if hasattr(module, name)
    )


_KINDS = {"pandas": ("DataFrame", "Series"), "polars": ("DataFrame", "Series"), "pyarrow": ("Table",)}


def table_of(value: Any) -> Table:
    """A DataFrame, Series or Arrow table as `Table`."""
    import numpy as np

    library = type(value).__module__.partition(".")[0]
    if library == "pandas" or hasattr(value, "iloc"):
        frame = value.to_frame() if hasattr(value, "to_frame") else value
        numbered = type(frame.index).__name__ == "RangeIndex" and frame.index.start == 0 and frame.index.step == 1
        names = _distinct(list(frame.columns))
        columns = {name: frame.iloc[:, at].to_numpy() for at, name in enumerate(names)}
        types = {name: str(frame.dtypes.iloc[at]) for at, name in enumerate(names)}
        return Table(list(frame.index), columns, types, numbered)
    if library == "polars" and hasattr(value, "to_frame"):
        value = value.to_frame()
    if library == "polars":
        pairs = [(series.name, series.to_list(), str(series.dtype)) for series in value.get_columns()]
        height = value.height
    else:
        names = value.column_names
        pairs = [
            (name, value.column(at).to_pylist(), str(value.schema.field(at).type)) for at, name in enumerate(names)
        ]
        height = value.num_rows
    columns = {}
    for name, (_, cells, _) in zip(_distinct([name for name, _, _ in pairs]), pairs, strict=True):
        columns[name] = np.empty(height, object)
        columns[name][:] = cells
    types = dict(zip(columns, (kind for _, _, kind in pairs), strict=True))
    return Table(range(height), columns, types, is_numbered=True)


def compare_tables(old: Table, new: Table, where: str, walk: _Walk) -> Iterator[Change]:
    """What differs between two tables: columns, rows, cells, which `walk` compares."""
    yield from _columns(old, new, where)
    common = [name for name in old.columns if name in new.columns]
    one = old._replace(columns={name: old.columns[name] for name in common})
    other = new._replace(columns={name: new.columns[name] for name in common})
    pairs = _matched(one, other)
    before, after = {i for i, _ in pairs}, {j for _, j in pairs}
    for number in range(old.height):
        if number not in before:
            yield Change(_at(where, f"row {short(old.labels[number])}"), "removed", old=_brief(old, number))
    for number in range(new.height):
        if number not in after:
            yield Change(_at(where, f"row {short(new.labels[number])}"), "added", new=_brief(new, number))
    yield from _moved(one, other, pairs, where)
    yield from _cells(one, other, pairs, where, walk)


def _columns(old: Table, new: Table, where: str) -> Iterator[Change]:
    for name in old.columns:
        at = _at(where, f"column {short(name)}")
        if name not in new.columns:
            yield Change(at, "removed", old=old.types[name])
        elif old.types[name] != new.types[name]:
            yield Change(at, "type", old.types[name], new.types[name], detail="the dtype")
    for name in new.columns:
        if name not in old.columns:
            yield Change(_at(where, f"column {short(name)}"), "added", new=new.types[name])
    if set(old.columns) == set(new.columns) and list(old.columns) != list(new.columns):
        detail = "the columns are in another order"
        yield Change(where, "moved", short(list(old.columns)), short(list(new.columns)), detail=detail)


def _matched(old: Table, new: Table) -> list[tuple[int, int]]:
    """Which row of the one is which of the other, by their numbers, in the order of the other."""
    if not (old.is_numbered and new.is_numbered):
        return _by_key(_counted(old.labels), _counted(new.labels))
    if max(old.height, new.height) > _CONTENT_UP_TO:
        return [(number, number) for number in range(min(old.height, new.height))]
    before, after = [old.row(i) for i in range(old.height)], [new.row(j) for j in range(new.height)]
    pairs = _by_key(_counted(before), _counted(after))
    left = sorted(set(range(old.height)) - {i for i, _ in pairs})
    come = sorted(set(range(new.height)) - {j for _, j in pairs})
    return sorted([*pairs, *_alike(before, after, left, come)], key=lambda pair: pair[1])


def _alike(before: list[Any], after: list[Any], left: list[int], come: list[int]) -> Iterator[tuple[int, int]]:
    """Rows that have no equal, paired by order where they are as many, else with the one they share most with."""
    if len(left) == len(come) or len(left) * len(come) > 1_000_000:
        yield from zip(left, come, strict=False)
        return
    few, many = (left, come) if len(left) < len(come) else (come, left)
    free = dict.fromkeys(many)
    for number in few:
        row = before[number] if few is left else after[number]
        rows = after if few is left else before
        # On equal terms the first: `max` keeps it.
        best = max(free, key=lambda at: sum(a == b for a, b in zip(row, rows[at], strict=True)))
        if any(a == b for a, b in zip(row, rows[best], strict=True)):
            del free[best]
            yield (number, best) if few is left else (best, number)


def _by_key(old: Sequence[Any], new: Sequence[Any]) -> list[tuple[int, int]]:
    places = {key: number for number, key in enumerate(old)}
    return [(places[key], number) for number, key in enumerate(new) if key in places]


def _counted(keys: Sequence[Any]) -> list[tuple[Any, int]]:
    """Each key with how often it stood before, so that equal ones are told apart; one without a hash by its repr."""
    seen: Counter[Any] = Counter()
    counted = []
    for key in keys:
        try:
            hash(key)
        except TypeError:
            key = repr(key)
        counted.append((key, seen[key]))
        seen[key] += 1
    return counted


def _moved(old: Table, new: Table, pairs: Sequence[tuple[int, int]], where: str) -> Iterator[Change]:
    """The fewest rows whose move explains the new order: those outside the longest run that kept its order."""
    order = [i for i, _ in pairs]
    still = _longest_increasing(order)
    for i, j in pairs:
        if i not in still:
            label = new.labels[j] if not new.is_numbered else old.labels[i]
            yield Change(_at(where, f"row {short(label)}"), "moved", f"position {i}", f"position {j}")


def _longest_increasing(numbers: Sequence[int]) -> set[int]:
    tails: list[int] = []
    behind: dict[int, int | None] = {}
    for number in numbers:
        at = bisect.bisect_left(tails, number)
        behind[number] = tails[at - 1] if at else None
        tails[at : at + 1] = [number]
    kept: set[int] = set()
    last: int | None = tails[-1] if tails else None
    while last is not None:
        kept.add(last)
        last = behind[last]
    return kept


def _cells(old: Table, new: Table, pairs: Sequence[tuple[int, int]], where: str, walk: _Walk) -> Iterator[Change]:
    import numpy as np

    if not pairs:
        return
    before, after = np.array(pairs).T
    for name, column in old.columns.items():
        one, other = column[before], new.columns[name][after]
        for at in _suspects(one, other):
            place = _at(where, f"row {short(new.labels[after[at]])}, column {short(name)}")
            for change in walk(_cell(one[at]), _cell(other[at]), ""):
                kind = "cell" if change.kind in ("number", "value", "text", "type") else change.kind
                yield change._replace(where=place + change.where, kind=kind)


def _suspects(one: Any, other: Any) -> Any:
    """Where two columns may differ."""
    import numpy as np

    try:
        same = np.asarray((one == other) | ((one != one) & (other != other)))
    except Exception:  # cells may be arrays, or have an ``==`` that raises
        return range(len(one))
    return np.flatnonzero(~same) if same.dtype == bool and same.shape == one.shape else range(len(one))


def _cell(value: Any) -> Any:
    """A cell as Python has it, so that int64 and float64 columns are compared by value: their types are told once."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", ()) == () else value


def _brief(table: Table, number: int) -> str:
    return short({name: _cell(column[number]) for name, column in table.columns.items()})


def _at(where: str, place: str) -> str:
    return f"{where} {place}" if where else place


def _distinct(names: Sequence[Any]) -> list[Any]:
    """Names of columns; one that stands there again with its number."""
    return [name if not again else f"{name} ({again + 1})" for name, again in _counted(names)]


def _is_nan(cell: Any) -> bool:
    try:
        return bool(cell != cell)
    except Exception:  # a cell may hold an array
        return False
