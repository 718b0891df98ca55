"""What an edit did to the numbers: the results of two runs, item by item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jpipe.compare.model import EXACT, Change, Tolerance
from jpipe.compare.values import differences
from jpipe.decide.run_comparison import Comparison, compare
from jpipe.decide.run_results import ItemResult, log_with_results, results_in_run
from jpipe.history.journal_reader import RunLog, RunRow
from jpipe.history.last_run import History
from jpipe.store import MissingEntry, Store

__all__ = ["ItemDifference", "ResultDifferences", "StepDifference", "differences_between"]


class ItemDifference(NamedTuple):
    """An item whose result differs.

    Parameters
    ----------
    item, label
        Its number in the later run, and what it is called.
    changes
        How it differs.
    gone
        A result of it is not in the cache any more, or cannot be loaded, so only that it differs is known.
    """

    item: int
    label: str
    changes: tuple[Change, ...]
    gone: bool = False

    def to_json(self) -> dict[str, Any]:
        """The item as ``diff --json`` prints it."""
        return {**self._asdict(), "changes": [change.to_json() for change in self.changes]}


class StepDifference(NamedTuple):
    """What a step gave in two runs.

    Parameters
    ----------
    step
        Its name.
    items
        Those that differ.
    unchanged, within
        How many are the same, and how many are within the tolerance.
    only_old, only_new
        Labels of the items that only one of the runs has a result of.
    unread
        How many differ and were not looked at.
    """

    step: str
    items: tuple[ItemDifference, ...]
    unchanged: int
    within: int = 0
    only_old: tuple[str, ...] = ()
    only_new: tuple[str, ...] = ()
    unread: int = 0

    @property
    def differs(self) -> bool:
        """Whether anything is to be told."""
        return bool(self.items or self.only_old or self.only_new)

    def to_json(self) -> dict[str, Any]:
        """The step as ``diff --json`` prints it."""
        told = {"items": [item.to_json() for item in self.items]}
        return {**self._asdict(), **told, "only_old": list(self.only_old), "only_new": list(self.only_new)}


@dataclass(frozen=True, slots=True)
class ResultDifferences:
    """What differs between two runs: parameters and code, and what that did to the results.

    Parameters
    ----------
    runs
        Parameters and code.
    steps
        The results of all steps that were asked for.
    """

    runs: Comparison
    steps: tuple[StepDifference, ...]

    def to_json(self) -> dict[str, Any]:
        """The document that ``diff --json`` prints."""
        code = {step["step"]: step["code"] for step in self.runs.to_json()["steps"]}
        steps = [{**step.to_json(), "code": code.get(step.step)} for step in self.steps]
        return {**self.runs.to_json(), "steps": steps}


def differences_between(
    store: Store,
    folder: str,
    rows: Sequence[RunRow],
    pair: tuple[RunRow, RunRow],
    steps: Iterable[str] = (),
    tolerance: Tolerance = EXACT,
    enough: Callable[[], bool] = lambda: False,
) -> ResultDifferences:
    """What differs between the results of two runs.

    Parameters
    ----------
    store, folder
        The cache, and where its journals are.
    rows
        All runs.
    pair
        The earlier and the later run.
    steps
        Only these; default all.
    tolerance
        How far apart numbers may be.
    enough
        Asked before results are read: whether the others shall only be counted.
    """
    wanted = set(steps)
    before, after = (log_with_results(folder, rows, row) for row in pair)
    names = [name for name in dict.fromkeys([*after.filed, *before.filed]) if not wanted or name in wanted]
    runs = compare(folder, rows, *pair, History(store))
    return ResultDifferences(runs, tuple(_of_step(store, before, after, name, tolerance, enough) for name in names))


def _of_step(
    store: Store, before: RunLog, after: RunLog, step: str, tolerance: Tolerance, enough: Callable[[], bool]
) -> StepDifference:
    old, new = results_in_run(store, before, step), results_in_run(store, after, step)
    only_old, only_new = [], []
    items: list[ItemDifference] = []
    unchanged = within = unread = 0
    for one, other in _paired([r for r in old if r.content], [r for r in new if r.content]):
        if other is None:
            only_old += [one.label] if one else []
        elif one is None:
            only_new.append(other.label)
        elif one.content == other.content:
            unchanged += 1
        elif enough():
            unread += 1
        else:
            changes, gone = _changes(store, one, other, tolerance)
            if changes or gone or not any(tolerance):
                items.append(ItemDifference(other.number, other.label, tuple(changes), gone))
            else:
                within += 1
    return StepDifference(step, tuple(items), unchanged, within, tuple(only_old), tuple(only_new), unread)


def _changes(store: Store, old: ItemResult, new: ItemResult, tolerance: Tolerance) -> tuple[list[Change], bool]:
    if old.where is None or new.where is None:
        return [], True
    try:
        one, other = store.load(old.where), store.load(new.where)
    except (MissingEntry, MemoryError):
        return [], True
    return differences(one, other, tolerance), False


def _paired(
    old: Sequence[ItemResult], new: Sequence[ItemResult]
) -> Iterator[tuple[ItemResult | None, ItemResult | None]]:
    """Which item of the one run is which of the other: by its label, and of equal labels by its turn."""
    before = dict(zip(_named(old), old, strict=True))
    after = dict(zip(_named(new), new, strict=True))
    for key, item in after.items():
        yield before.get(key), item
    for key, item in before.items():
        if key not in after:
            yield item, None


def _named(items: Sequence[ItemResult]) -> list[tuple[str, int]]:
    seen: Counter[str] = Counter()
    named = []
    for item in items:
        named.append((item.label, seen[item.label]))
        seen[item.label] += 1
    return named
