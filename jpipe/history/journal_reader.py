"""Read the journals that runs left: the rows of all runs, and the whole of one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jpipe.errors import NothingSelectedError
from jpipe.history.journal_writer import SUFFIX
from jpipe.history.run_index import ROWS
from jpipe.model.warned import is_warning
from jpipe.system import safe_paths as inside

__all__ = ["ItemLog", "RunLog", "RunRow", "find_run", "last_log_of", "log_of", "runs"]

_DATE = len("20260131")

UNFINISHED = "unfinished"
"""The outcome of a run whose journal has no end: it is still going, or was killed."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in one row.

    Parameters
    ----------
    number
        Position among the runs that are known, from 1, oldest first.
    run, pipeline
        The run's name, and ``FILE:PIPELINE`` with the file relative to the project.
    when, seconds
        When it began (seconds since 1970), and how long it took.
    outcome
        An `Outcome` as text, or ``"unfinished"``.
    parameters, given
        All parameters of the pipeline as text, and which of them were given.
    commit
        The git commit that was checked out, or "".
    ran, cached, failed, blocked
        Numbers of items.
    changed
        What had changed since the run before.
    results
        The same text for runs with the same code and results; "" where that was not noted.
    checkout
        The same text for runs in the same folder; "" where that was not noted.
    """

    number: int
    run: str
    pipeline: str
    when: float
    seconds: float
    outcome: str
    parameters: Mapping[str, str]
    given: tuple[str, ...]
    commit: str
    ran: int
    cached: int
    failed: int
    blocked: int
    changed: tuple[str, ...]
    results: str
    checkout: str

    def to_json(self) -> dict[str, Any]:
        """The row as ``history --json`` prints it."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {**told, "parameters": dict(self.parameters), "given": list(self.given), "changed": list(self.changed)}


@dataclass(frozen=True, slots=True)
class ItemLog:
    """What is known of an item that ran.

    `failure` holds the fields of `Failure` where it failed, `at` is when its chunk came back, in seconds since the run
    began; the other fields are those of `ItemEnded`.
    """

    step: str
    item: int
    label: str
    key: str
    outcome: str
    seconds: float
    peak_memory: int
    nbytes: int
    worker: int
    output: str
    failure: Mapping[str, Any] | None = None
    at: float = 0.0
    attempts: int = 1

    @property
    def warned(self) -> bool:
        """Whether what it printed holds a warning."""
        return is_warning(self.output or str((self.failure or {}).get("output", "")))

    def to_json(self) -> dict[str, Any]:
        """The item as ``log --json`` prints it."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "warned": self.warned}


@dataclass(slots=True)
class RunLog:
    """The whole of a run.

    Attributes
    ----------
    items
        Those that ran or failed, in the order in which they came back; of many only the first and those that printed.
    steps
        By step, the fields of `StepEnded` and its reasons.
    fingerprints, calls
        By step, the digest of its code, and the digests of its calls' results.
    filed
        By step, where the results of its calls are.
    chunks
        Items that are not told one by one: ``step, ran, worker, at, seconds`` of each chunk.
    started
        The steps of which an item was given to a worker, in that order.
    start
        How the run was started: ``jobs, steps, needs, python, platform, command``.
    end
        The fields of the run's row, where it is over.
    """

    items: list[ItemLog] = field(default_factory=list)
    steps: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    fingerprints: dict[str, bytes] = field(default_factory=dict)
    calls: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    filed: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    chunks: list[Mapping[str, Any]] = field(default_factory=list)
    started: dict[str, None] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    end: Mapping[str, Any] = field(default_factory=dict)

    def of_step(self, step: str, item: int | None = None) -> list[ItemLog]:
        """The items of a step by number, or the one item."""
        found = {one.item: one for one in self.items if one.step == step and item in (None, one.item)}
        return [found[number] for number in sorted(found)]


def runs(folder: str) -> list[RunRow]:
    """The runs that are known, oldest first.

    Parameters
    ----------
    folder
        `journal_folder` of a cache.
    """
    rows = [_opened_row(row) for row in _lines(f"{folder}/{ROWS}")]
    told = {row["run"] for row in rows}
    for name in _unfinished(folder, told):
        first = next((row for row in _lines(f"{folder}/{name}") if row.get("kind") == "run"), None)
        if first is not None:
            rows.append(_opened_row({**first, "outcome": UNFINISHED}))
    rows.sort(key=lambda row: row["when"])
    return [RunRow(number=number, **row) for number, row in enumerate(rows, 1)]


def find_run(rows: Sequence[RunRow], text: str, hint: str = "jpipe history  lists the runs") -> RunRow:
    """The run that somebody means by ``12``, ``#12``, ``-1`` (the last) or the beginning of its name.

    `hint` says how to find it out.

    Raises
    ------
    NothingSelectedError
        When there is none, or several begin so.
    """
    with contextlib.suppress(ValueError):
        number = int(text.removeprefix("#"))
        if number < 0 and -number <= len(rows):
            return rows[number]
        chosen = [row for row in rows if row.number == number]
        if chosen:
            return chosen[0]
    is_number = text.lstrip("#-").isdecimal() and len(text) < _DATE  # a name begins with a year
    chosen = [row for row in rows if text and not is_number and row.run.startswith(text)]
    if len(chosen) != 1:
        raise NothingSelectedError(
            f"there is no run {text}" if not chosen else f"{len(chosen)} runs begin with {text}", hint=hint
        )
    return chosen[0]


def log_of(folder: str, run: str) -> RunLog:
    """What is kept of a run; empty for one that had nothing to do, or was long ago."""
    log = RunLog()
    if os.sep in run or "/" in run:
        return log
    for row in _lines(f"{folder}/{run}{SUFFIX}"):
        step = _text(row, "step")
        match row.get("kind"):
            case "item" | "failure":
                log.items.append(_item(row, step))
            case "step":
                log.steps[step] = row
            case "result":
                _take_result(log, row, step)
            case "start":
                log.started[step] = None
            case "chunk":
                log.chunks.append(row)
            case "run":
                log.start = row
            case "end":
                log.end = row
            case _:
                pass
    return log


def last_log_of(
    folder: str, rows: Sequence[RunRow], step: str, item: int | None = None
) -> tuple[RunRow, list[ItemLog]] | None:
    """The last run in which items of a step (or the one item) ran, and what they left."""
    for row in reversed(rows):
        if row.ran or row.failed or row.outcome != "cached":
            items = log_of(folder, row.run).of_step(step, item)
            if items:
                return row, items
    return None


def _opened_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `RunRow`, whatever the file says."""
    parameters = row.get("parameters")
    return {
        "run": _text(row, "run"),
        "pipeline": _text(row, "pipeline"),
        "when": _number(row, "when"),
        "seconds": _number(row, "seconds"),
        "outcome": _text(row, "outcome"),
        "parameters": {str(k): str(v) for k, v in parameters.items()} if isinstance(parameters, dict) else {},
        "given": _texts(row, "given"),
        "commit": _text(row, "commit"),
        "ran": int(_number(row, "ran")),
        "cached": int(_number(row, "cached")),
        "failed": int(_number(row, "failed")),
        "blocked": int(_number(row, "blocked")),
        "changed": _texts(row, "changed"),
        "results": _text(row, "results"),
        "checkout": _text(row, "checkout"),
    }


def _item(row: Mapping[str, Any], step: str) -> ItemLog:
    failed = row.get("kind") == "failure"
    return ItemLog(
        step=step,
        item=int(_number(row, "item")),
        label=_text(row, "label"),
        key=_text(row, "key"),
        outcome="failed" if failed else _text(row, "outcome"),
        seconds=_number(row, "seconds"),
        peak_memory=int(_number(row, "peak_memory")),
        nbytes=int(_number(row, "nbytes")),
        worker=int(_number(row, "worker")),
        output=_text(row, "output"),
        failure={**row, "kind": row.get("how")} if failed else None,
        at=_number(row, "at"),
        attempts=max(1, int(_number(row, "attempts"))),
    )


def _take_result(log: RunLog, row: Mapping[str, Any], step: str) -> None:
    with contextlib.suppress(ValueError):
        log.fingerprints[step] = bytes.fromhex(_text(row, "fingerprint"))
    filed = row.get("filed")
    log.filed[step] = tuple(one for one in filed if isinstance(one, dict)) if isinstance(filed, list) else ()
    calls = row.get("calls")
    log.calls[step] = tuple(c if isinstance(c, str) else None for c in calls) if isinstance(calls, list) else ()


def _unfinished(folder: str, told: set[str]) -> list[str]:
    try:
        names = sorted(name for name in inside.listdir(folder) if name.endswith(SUFFIX) and name != ROWS)
    except OSError:
        return []
    return [name for name in names if name.removesuffix(SUFFIX) not in told]


def _lines(path: str) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines; torn and foreign lines are passed over."""
    try:
        descriptor = inside.open(path, os.O_RDONLY)
    except OSError:
        return
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_size > inside.MOST:
            return
        for line in file:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = row.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18
    return value if usable else 0  # type: ignore[return-value]
