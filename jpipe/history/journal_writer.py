"""The journal of a run: what happened, kept in the cache as lines of JSON, for `jpipe log` and `jpipe history`.

::

    notes/journals/  runs.jsonl      one row a run, the newest last
                     <run>.jsonl     the whole of a run in which something ran: start, items, failures, steps, results

A journal holds no values of arguments or results, only their digests. Three things in it are in clear: the parameters
of the pipeline and the labels of items, which are what the user typed; what items printed; and what a failure screen
shows. Lines are only ever appended, whole, so a run that is killed leaves everything up to its last line.
"""

from __future__ import annotations

import contextlib
import reprlib
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.history.journal_lines import JournalLines
from jpipe.history.run_index import KEPT_RUNS, ROWS, append_row
from jpipe.model.events import (
    ChunkEnded,
    Event,
    Failure,
    ItemEnded,
    ItemFailed,
    ItemsKnown,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
)
from jpipe.model.outcomes import Outcome
from jpipe.model.reasons import Reason
from jpipe.system import safe_paths as inside

__all__ = ["SUFFIX", "FiledCall", "Journal", "Opening", "StepResult", "digest_of", "text_of"]

SUFFIX = ".jsonl"
_MOST_OUTPUT = 64 << 10
_MOST_FAILURES = 200
_MOST_DIFF = 4000
DIGITS = 16
"""So many hexadecimal digits of a result's digest are kept."""


class Opening(NamedTuple):
    """What is known of a run before it begins.

    Parameters
    ----------
    run, pipeline
        Its name, and what runs of the pipeline are filed under.
    parameters
        Every parameter of the pipeline, as text.
    given
        Names of the parameters that were given; the others have their defaults.
    commit
        The git commit that was checked out, or "".
    when
        Seconds since 1970.
    checkout
        Tells the project's folder from others that use the same cache; "" where that is not known.
    """

    run: str
    pipeline: str
    parameters: Mapping[str, str] = {}
    given: tuple[str, ...] = ()
    commit: str = ""
    when: float = 0.0
    checkout: str = ""

    def to_row(self) -> dict[str, Any]:
        """The beginning of the run's row."""
        return {
            "v": 1,
            "run": self.run,
            "when": round(self.when, 3),
            "pipeline": self.pipeline,
            "parameters": dict(self.parameters),
            "given": list(self.given),
            "commit": self.commit,
            "checkout": self.checkout,
        }


class FiledCall(NamedTuple):
    """Where the results of a call are, so that they can be found by the run that gave them.

    Parameters
    ----------
    places
        (family, key) of each item, None for one that was not done; of a mapped call that is filed as a whole only that.
    is_whole
        Whether it is.
    contents
        The digest of each item's result, where it was looked at.
    labels
        What each item is called; empty where there are very many.
    """

    places: tuple[tuple[bytes, bytes] | None, ...] = ()
    is_whole: bool = False
    contents: tuple[bytes | None, ...] = ()
    labels: tuple[str, ...] = ()


class StepResult(NamedTuple):
    """What a step gave in a run.

    Parameters
    ----------
    step, fingerprint
        The step, and the digest of its code.
    calls
        The digest of each call's result, in the order of the program; None for one that was not done.
    filed
        Where the results of each call are; empty where that is not asked for.
    """

    step: str
    fingerprint: bytes
    calls: tuple[bytes | None, ...]
    filed: tuple[FiledCall, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class _StepCounts:
    reasons: tuple[Reason, ...] = ()
    stale: int = 0
    cached: int = 0


class Journal:
    """An observer that keeps what happens in a run.

    Parameters
    ----------
    folder
        Where journals are: `jpipe.history.run_index.journal_folder`.
    opening
        What is known of the run before it begins.

    Notes
    -----
    Nothing is written before something runs. A cache that cannot be written to costs the journal and not the run.
    """

    def __init__(self, folder: str, opening: Opening) -> None:
        self._folder = folder
        self._opening = opening
        self._file: JournalLines | None = None
        self._steps: dict[str, _StepCounts] = {}
        self._failures = 0
        self._begun = time.perf_counter()
        self._start: RunStarted | None = None
        self._early: list[tuple[str, Mapping[str, Any]]] = []
        self._end: RunEnded | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start = event
            case ItemsKnown():
                self._known(event)
            case StepStarted():
                self._write("start", {"step": event.step})
            case ChunkEnded():
                self._chunk_ended(event)
            case ItemFailed():
                self._failures += 1
                row = {**_failure(event.failure, whole=self._failures <= _MOST_FAILURES), "at": self._at()}
                self._write("failure", row, always=True)
            case StepEnded():
                self._step_ended(event)
            case RunEnded():
                self._end = event
            case _:
                pass

    def close(self, results: Iterable[StepResult] = (), *, whole: bool = False) -> None:
        """Write the run's row, and what its steps gave.

        Parameters
        ----------
        results
            Of each step; left out of a large run that had nothing to do.
        whole
            Write everything although nothing ran: what it gave is not what the run before gave.
        """
        results = list(results)
        if whole:
            self._open()
        row = {**self._opening.to_row(), **self._outcome()}
        if results:
            row["results"] = digest_of(results)
        if self._file is not None:
            for result in results:
                self._write("result", _result(result), always=True)
            self._write("end", row, always=True)
            self._file.close()
            _remove_old(self._folder)
        append_row(self._folder, row)

    @property
    def is_needed(self) -> bool:
        """Whether anything ran or failed."""
        return self._file is not None

    def _known(self, event: ItemsKnown) -> None:
        counts = self._steps.setdefault(event.step, _StepCounts())
        counts.stale += event.stale
        counts.cached += event.cached
        counts.reasons = counts.reasons or event.reasons

    def _chunk_ended(self, event: ChunkEnded) -> None:
        at = self._at()
        for item in event.items:
            if item.outcome is not Outcome.FAILED:
                self._write("item", {**_item(event, item), "at": at})
        told = sum(item.outcome is not Outcome.FAILED for item in event.items)
        if told < event.ran:
            self._open().write_chunk(event.step, event.ran - told, event.worker, at, event.seconds)

    def _at(self) -> float:
        """Seconds since the run began: for the timeline of a report."""
        return round(time.perf_counter() - self._begun, 6)

    def _step_ended(self, event: StepEnded) -> None:
        reasons = self._steps.get(event.step, _StepCounts()).reasons
        row = {**event._asdict(), "outcome": event.outcome.value, "reasons": [_reason(reason) for reason in reasons]}
        if self._file is None and event.outcome is Outcome.CACHED:
            self._early.append(("step", row))
        else:
            self._write("step", row, always=True)

    def _outcome(self) -> dict[str, Any]:
        changed = dict.fromkeys(_changed(r) for counts in self._steps.values() for r in counts.reasons)
        end = self._end
        if end is None:
            return {"outcome": Outcome.INTERRUPTED.value, "changed": list(changed)}
        counts = {"ran": end.ran, "cached": end.cached, "failed": end.failed, "blocked": end.blocked}
        told = {"outcome": end.outcome.value, "seconds": round(end.seconds, 6), **counts}
        return {**told, "changed": list(changed)} if changed else told

    def _write(self, kind: str, row: Mapping[str, Any], *, always: bool = False) -> None:
        self._open().write(kind, row, always=always)

    def _open(self) -> JournalLines:
        if self._file is None:
            self._file = JournalLines(f"{self._folder}/{self._opening.run}{SUFFIX}")
            self._file.write("run", {**self._opening.to_row(), **self._surroundings()}, always=True)
            for kind, row in self._early:
                self._file.write(kind, row, always=True)
        return self._file

    def _surroundings(self) -> dict[str, Any]:
        """What a report says of how the run was started."""
        start = self._start
        if start is None:
            return {}
        plan = {"jobs": start.jobs, "steps": dict(start.steps), "needs": {k: list(v) for k, v in start.needs.items()}}
        return {**plan, "python": sys.version.partition(" ")[0], "platform": sys.platform, "command": sys.argv}


def text_of(value: Any) -> str:
    """A parameter as text; of what is long, the beginning."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} {shape}"
    try:
        return _short.repr(value)
    except Exception:  # the repr of a user's class may raise anything
        return type(value).__name__


_short = reprlib.Repr()
_short.maxtuple = _short.maxlist = _short.maxdict = _short.maxset = _short.maxfrozenset = 20
_short.maxstring = _short.maxother = 100


def _item(chunk: ChunkEnded, item: ItemEnded) -> dict[str, Any]:
    row = {
        "step": chunk.step,
        "item": item.item,
        "label": item.label,
        "key": item.key,
        "outcome": item.outcome.value,
        "seconds": round(item.seconds, 6),
        "peak_memory": item.peak_memory,
        "nbytes": item.nbytes,
        "worker": chunk.worker,
    }
    if item.attempts > 1:
        row["attempts"] = item.attempts
    return {**row, "output": _bounded(item.output)} if item.output else row


def _failure(failure: Failure, *, whole: bool) -> dict[str, Any]:
    row = failure._asdict()
    row["how"] = row.pop("kind")
    row["output"], row["message"] = _bounded(failure.output), _bounded(failure.message)
    if not whole:
        del row["traceback"], row["frames"], row["arguments"], row["output"]
    return row


def _result(result: StepResult) -> dict[str, Any]:
    calls = [_digits(call) for call in result.calls]
    row = {"step": result.step, "fingerprint": result.fingerprint.hex(), "calls": calls}
    return {**row, "filed": [_filed(call) for call in result.filed]} if result.filed else row


def _filed(call: FiledCall) -> dict[str, Any]:
    places = [place and [place[0].hex(), place[1].hex()] for place in call.places]
    return {
        "whole": call.is_whole,
        "places": places,
        "contents": list(map(_digits, call.contents)),
        "labels": list(call.labels),
    }


def _digits(digest: bytes | None) -> str | None:
    """As many digits of a digest as tell results apart."""
    return digest.hex()[:DIGITS] if digest is not None else None


def digest_of(results: Iterable[StepResult]) -> str:
    """The same for two runs with the same code and the same results."""
    known = blake3()
    for result in results:
        known.update(result.step.encode("utf-8", "surrogatepass") + b"\0" + result.fingerprint)
        known.update(b"".join(call or bytes(32) for call in result.calls))
    return known.hexdigest()[:16]


def _reason(reason: Reason) -> dict[str, Any]:
    row = reason.to_json()
    if reason.diff and len(reason.diff) > _MOST_DIFF:
        row["diff"] = f"{reason.diff[:_MOST_DIFF]}\n…"
    return row


def _changed(reason: Reason) -> str:
    """What changed, in a word."""
    return f"{reason.object} {reason.detail}" if reason.detail and len(reason.detail) <= 30 else reason.object


def _bounded(text: str) -> str:
    if len(text) <= _MOST_OUTPUT:
        return text
    half = _MOST_OUTPUT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _remove_old(folder: str) -> None:
    """Journals of all but the last runs; a run's name begins with its time."""
    with contextlib.suppress(OSError):
        found = sorted(name for name in inside.listdir(folder) if name.endswith(SUFFIX) and name != ROWS)
        for name in found[:-KEPT_RUNS]:
            with contextlib.suppress(OSError):
                inside.unlink(f"{folder}/{name}")
