"""The results that a run gave, found in the cache by what its journal noted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from jpipe.decide.record_lookup import unpack_keys
from jpipe.history.journal_reader import RunLog, RunRow, log_of
from jpipe.history.journal_writer import DIGITS
from jpipe.store import MissingEntry, Record, Store, Where

__all__ = ["ItemResult", "log_with_results", "results_in_run", "run_with_results", "runs_that_differ"]


class ItemResult(NamedTuple):
    """What an item gave in a run.

    Parameters
    ----------
    number
        Its position among all items of its step, from 0.
    label
        What it is called.
    content
        The first digits of its result's digest; "" where it gave none.
    where
        Where the result is; None where it gave none, or it is not in the cache any more.
    nbytes, seconds
        The size of the result, and what it took to make.
    """

    number: int
    label: str
    content: str
    where: Where | None
    nbytes: int = 0
    seconds: float = 0.0


def results_in_run(store: Store, log: RunLog, step: str) -> list[ItemResult]:
    """What each item of a step gave in a run.

    Parameters
    ----------
    store
        The cache.
    log
        Of the run, from `log_with_results`.
    step
        A step of it.
    """
    found: list[ItemResult] = []
    for call in log.filed.get(step, ()):
        places = _places(store, call)
        contents, labels = _column(call, "contents"), _column(call, "labels")
        for index, place in enumerate(places):
            label = str(labels[index]) if index < len(labels) else f"{step}[{index}]"
            content = contents[index] if index < len(contents) else None
            found.append(_result(len(found), label, content, _record(store, place, content)))
    return found


def log_with_results(folder: str, rows: Sequence[RunRow], row: RunRow) -> RunLog:
    """The journal that noted what a run gave: its own, or that of an earlier run which gave the same."""
    return log_of(folder, run_with_results(folder, rows, row))


def run_with_results(folder: str, rows: Sequence[RunRow], row: RunRow) -> str:
    """The name of the run whose journal noted what a run gave."""
    if row.outcome != "cached" or log_of(folder, row.run).calls:
        return row.run
    alike = [r for r in rows if r.pipeline == row.pipeline and r.parameters == row.parameters]
    results = row.results
    if not results:
        # An instant answer gave what the run before it gave.
        earlier = [r for r in alike if r.number < row.number and (r.results or r.outcome != "cached")]
        results = earlier[-1].results if earlier else ""
    same = [r for r in alike if r.results == results and log_of(folder, r.run).calls]
    return same[-1].run if same else row.run


def runs_that_differ(
    folder: str, rows: Sequence[RunRow], steps: Iterable[str] = (), until: RunRow | None = None
) -> tuple[RunRow, RunRow] | None:
    """The last run, and the last one before it that gave something else.

    Parameters
    ----------
    rows
        Runs of one pipeline, oldest first.
    steps
        Only what these steps gave counts; default all.
    until
        In place of the last run.
    """
    wanted = set(steps)
    logs: dict[str, RunLog] = {}

    def gave(row: RunRow) -> dict[str, tuple[str | None, ...]]:
        run = run_with_results(folder, rows, row)
        log = logs.setdefault(run, log_of(folder, run)) if run not in logs else logs[run]
        return {step: calls for step, calls in log.calls.items() if not wanted or step in wanted}

    candidates = [row for row in rows if until is None or row.number <= until.number]
    while candidates:
        last = candidates.pop()
        now = gave(last)
        if any(any(calls) for calls in now.values()):
            for row in reversed(candidates):
                if row.pipeline == last.pipeline and _differ(gave(row), now):
                    return row, last
        if until is not None:
            return None
    return None


def _differ(old: Mapping[str, tuple[str | None, ...]], new: Mapping[str, tuple[str | None, ...]]) -> bool:
    """Whether both have results of a step, and those differ."""
    return any(any(calls) and any(new.get(step, ())) and calls != new[step] for step, calls in old.items())


def _places(store: Store, call: Mapping[str, Any]) -> list[tuple[bytes, bytes] | None]:
    places = [_place(one) for one in _column(call, "places")]
    if not call.get("whole") or not places or places[0] is None:
        return places
    family, key = places[0]
    wanted = [content for content in _column(call, "contents") if content]
    for record in store.family(family).find(key):
        try:
            keys = unpack_keys(store.load(record.where))
        except (MissingEntry, TypeError):
            continue
        if not wanted or len(keys) == len(wanted):
            return [(family, one) for one in keys]
    return [None] * max(len(wanted), len(_column(call, "labels")))


def _place(raw: Any) -> tuple[bytes, bytes] | None:
    try:
        family, key = (bytes.fromhex(text) for text in raw)
    except (TypeError, ValueError):
        return None
    return (family, key) if len(family) == 32 else None


def _record(store: Store, place: tuple[bytes, bytes] | None, content: str | None) -> Record | None:
    """The record of an item: the one with the result that the run had, where several read different files."""
    if place is None:
        return None
    records = store.family(place[0]).find(place[1])
    if content is None:
        return records[0] if records else None
    return next((record for record in records if record.content.hex()[:DIGITS] == content), None)


def _result(number: int, label: str, content: str | None, record: Record | None) -> ItemResult:
    if record is None:
        return ItemResult(number, label, content or "", None)
    return ItemResult(number, label, record.content.hex()[:DIGITS], record.where, record.nbytes, record.seconds)


def _column(call: Mapping[str, Any], name: str) -> list[Any]:
    value = call.get(name)
    return value if isinstance(value, list) else []
