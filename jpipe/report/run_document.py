"""A run as its report tells it, gathered from the journal that it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jpipe.decide.run_results import run_with_results
from jpipe.fingerprint.parts import PartKind
from jpipe.history.journal_reader import RunLog, RunRow, log_of
from jpipe.history.last_run import History
from jpipe.model.events import Failure
from jpipe.render.journal_text import failure_of
from jpipe.report.graph_model import Box, State, state_of

__all__ = ["Bar", "RunDocument", "StepRow", "critical_path", "document_of"]

_MOST_PACKAGES = 60
_ENDS = ("failed", "interrupted", "blocked", "ran")


class Bar(NamedTuple):
    """A piece of the timeline: from when to when a worker was busy with what.

    Parameters
    ----------
    worker
        Its number; 0 is the main process.
    start, end
        Seconds since the run began.
    step, label
        What of: the label names the item, or counts several.
    failed
        Whether it failed.
    item
        Its number where it is one item that printed something or failed; else -1.
    """

    worker: int
    start: float
    end: float
    step: str
    label: str
    failed: bool = False
    item: int = -1


class StepRow(NamedTuple):
    """A step in the table of steps; times in seconds, sizes in bytes."""

    name: str
    state: State
    items: int
    ran: int
    cached: int
    failed: int
    blocked: int
    seconds: float
    busy: float
    longest: float
    saved: float
    peak_memory: int
    nbytes: int
    printed: int
    reasons: tuple[Mapping[str, Any], ...]


class RunDocument(NamedTuple):
    """Everything that a report tells but for the results.

    Parameters
    ----------
    row, log
        The run, and its own journal; empty where it had nothing to do.
    results
        The journal that noted what it gave.
    steps, boxes
        Upstream first.
    bars
        The timeline.
    failures
        As they happened.
    packages
        Versions of the packages that the steps use.
    """

    row: RunRow
    log: RunLog
    results: RunLog
    steps: tuple[StepRow, ...]
    boxes: tuple[Box, ...]
    bars: tuple[Bar, ...]
    failures: tuple[Failure, ...]
    packages: tuple[str, ...]


def document_of(folder: str, rows: Sequence[RunRow], row: RunRow, history: History) -> RunDocument:
    """Gather what is known of a run.

    Parameters
    ----------
    folder
        Where the journals are.
    rows
        All runs.
    history
        Knows the parts of the steps' code.
    """
    log = log_of(folder, row.run)
    named = run_with_results(folder, rows, row)
    results = log if named == row.run else log_of(folder, named)
    source = log if log.start.get("steps") else results
    needs = {str(step): _texts(found) for step, found in _mapping(source.start.get("needs")).items()}
    names = list(dict.fromkeys([*needs, *source.steps, *results.calls]))
    ordered = _upstream_first(names, needs)
    steps = tuple(_step(name, log, results) for name in ordered)
    boxes = tuple(_box(step, needs.get(step.name, ()), results) for step in steps)
    failures = tuple(failure_of(one.failure) for one in log.items if one.failure)
    return RunDocument(row, log, results, steps, boxes, _bars(log), failures, _packages(results, history))


def critical_path(bars: Sequence[Bar], boxes: Sequence[Box]) -> list[str]:
    """The steps that the run waited for: from the one that ended last back along what each waited for last."""
    ended: dict[str, float] = {}
    for bar in bars:
        ended[bar.step] = max(ended.get(bar.step, 0.0), bar.end)
    needs = {box.name: box.needs for box in boxes}
    path: list[str] = []
    step = max(ended, key=ended.__getitem__, default=None)
    while step is not None and step not in path:
        path.append(step)
        ran = [need for need in needs.get(step, ()) if need in ended]
        step = max(ran, key=ended.__getitem__, default=None)
    return path[::-1]


def _step(name: str, log: RunLog, results: RunLog) -> StepRow:
    told = log.steps.get(name, {})
    items = log.of_step(name)
    chunks = [chunk for chunk in log.chunks if chunk.get("step") == name]
    counts = {word: int(_number(told, word)) for word in ("items", "ran", "cached", "failed", "blocked", "interrupted")}
    goes_on = bool(log.start) and not log.end
    if not told and goes_on:
        count = int(_number(_mapping(log.start.get("steps")), name))
        failed = sum(one.failure is not None for one in items)
        ran = len(items) - failed + sum(int(_number(chunk, "ran")) for chunk in chunks)
        counts |= {"items": max(count, ran + failed), "ran": ran, "failed": failed}
    elif not told:  # everything came from the cache
        count = len(results.calls.get(name, ()))
        known = int(_number(results.steps.get(name, {}), "items"))
        counts |= {"items": known or count, "cached": known or count}
    reasons = told.get("reasons")
    return StepRow(
        name=name,
        state=_state(counts, told, name in log.started) if goes_on else state_of(*(counts[word] for word in _ENDS)),
        items=counts["items"],
        ran=counts["ran"],
        cached=counts["cached"],
        failed=counts["failed"],
        blocked=counts["blocked"],
        seconds=_number(told, "seconds"),
        busy=sum(one.seconds for one in items) + sum(_number(chunk, "seconds") for chunk in chunks),
        longest=max((one.seconds for one in items), default=0.0),
        saved=_number(told, "seconds_saved"),
        peak_memory=max((one.peak_memory for one in items), default=0),
        nbytes=int(_number(told, "nbytes") or _number(results.steps.get(name, {}), "nbytes")),
        printed=sum(bool(one.output) for one in items),
        reasons=tuple(one for one in reasons if isinstance(one, dict)) if isinstance(reasons, list) else (),
    )


def _state(counts: Mapping[str, int], told: Mapping[str, Any], is_started: bool) -> State:
    """The state of a step of a run that is going on."""
    if told or counts["failed"]:
        return state_of(*(counts[word] for word in _ENDS))
    return State.RUNNING if is_started else State.PENDING


def _box(step: StepRow, needs: Sequence[str], results: RunLog) -> Box:
    own = tuple(need for need in needs if need != step.name)
    why = "; ".join(str(reason.get("object", "")) for reason in step.reasons[:3]) if step.ran else ""
    labels = [label for call in results.filed.get(step.name, ()) for label in _texts(call.get("labels"))]
    note = f"because of {why}" if why else ""
    return Box(step.name, step.state, own, step.items, _axes(step.name, labels), step.busy, step.nbytes, note)


def _axes(step: str, labels: Sequence[str]) -> tuple[str, ...]:
    """The parameters that the labels of a step's items name."""
    if len(labels) < 2:
        return ()
    inside = labels[0].removeprefix(step).strip("[]")
    return tuple(part.partition("=")[0].strip() for part in inside.split(", ") if "=" in part)[:4]


def _bars(log: RunLog) -> tuple[Bar, ...]:
    """When items ran: a chunk's items one after the other, up to when the chunk came back."""
    bars: list[Bar] = []
    chunks: dict[tuple[str, int, float], list[Any]] = {}
    for one in log.items:
        if one.at:
            chunks.setdefault((one.step, one.worker, one.at), []).append(one)
    for (step, worker, at), items in chunks.items():
        end = at
        for one in reversed(items):
            start = max(0.0, end - one.seconds)
            number = one.item if one.output or one.failure else -1
            bars.append(Bar(worker, start, end, step, one.label, one.failure is not None, number))
            end = start
    for chunk in log.chunks:
        at, seconds = _number(chunk, "at"), _number(chunk, "seconds")
        label = f"{int(_number(chunk, 'ran')):,} items"
        bars.append(Bar(int(_number(chunk, "worker")), max(0.0, at - seconds), at, str(chunk.get("step")), label))
    return tuple(sorted(bars, key=lambda bar: (bar.worker, bar.start)))


def _upstream_first(names: Sequence[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The steps so that each stands behind what it needs; steps that are called in turns as they come."""
    order: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        ready = [
            name for name in waiting if all(n in order or n not in waiting or n == name for n in needs.get(name, ()))
        ]
        for name in ready or waiting[:1]:
            order[name] = None
        waiting = [name for name in waiting if name not in order]
    return list(order)


def _packages(log: RunLog, history: History) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for family in dict.fromkeys(log.fingerprints.values()):
        for part in history.parts(family) or ():
            if part.kind is PartKind.PACKAGE:
                version = (part.text or "").removeprefix(part.name).lstrip("= ")
                found[f"{part.name} {version}".strip()] = None
    return tuple(sorted(found))[:_MOST_PACKAGES]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
