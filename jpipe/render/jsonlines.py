"""A run's events as JSON, one object a line, for programs.

``{"v": 1, "event": ...}`` opens each line. Keys may be added within a version; none is renamed or removed.
"""

from __future__ import annotations

import json
from typing import TextIO

from jpipe.model.events import ChunkEnded, Event, Failure, ItemEnded, ItemFailed, RunEnded, RunStarted, StepEnded
from jpipe.model.outcomes import Outcome
from jpipe.render.streams import discard

__all__ = ["JsonLines", "objects"]

_VERSION = 1


class JsonLines:
    """An observer that writes a run's events to a stream.

    Parameters
    ----------
    stream
        Gets the lines, each flushed when it is whole.
    items
        Whether to write ``item_end`` (for runs with details).

    Notes
    -----
    A reader that closes the pipe ends the writing and not the run.
    """

    def __init__(self, stream: TextIO, *, items: bool = False) -> None:
        self._stream = stream
        self._items = items
        self._reader_left = False

    def __call__(self, event: Event) -> None:
        if self._reader_left:
            return
        try:
            for one in objects(event, items=self._items):
                self._stream.write(json.dumps(one, separators=(",", ":")) + "\n")
                self._stream.flush()
        except BrokenPipeError:
            self._reader_left = True
            discard(self._stream)


def objects(event: Event, *, items: bool = False) -> list[dict[str, object]]:
    """The JSON objects that an event is worth, possibly none.

    Parameters
    ----------
    event
        What happened.
    items
        Whether to tell of single items.
    """
    match event:
        case RunStarted():
            return [_run_start(event)]
        case StepEnded():
            return [_step_end(event)]
        case RunEnded():
            return [_run_end(event)]
        case ChunkEnded() if items:
            return [_item_end(event, item) for item in event.items if item.outcome is not Outcome.FAILED]
        case ItemFailed() if items:
            return [_item_failed(event.failure)]
        case _:
            return []


def _run_start(event: RunStarted) -> dict[str, object]:
    return {
        "v": _VERSION,
        "event": "run_start",
        "pipeline": event.pipeline,
        "run": event.run,
        "calls": event.calls,
        "items": event.items,
        "jobs": event.jobs,
    }


def _step_end(event: StepEnded) -> dict[str, object]:
    return {
        "v": _VERSION,
        "event": "step_end",
        "step": event.step,
        "outcome": event.outcome.value,
        "items": event.items,
        "ran": event.ran,
        "cached": event.cached,
        "failed": event.failed,
        "blocked": event.blocked,
        "interrupted": event.interrupted,
        "seconds": _rounded(event.seconds),
    }


def _run_end(event: RunEnded) -> dict[str, object]:
    return {
        "v": _VERSION,
        "event": "run_end",
        "outcome": event.outcome.value,
        "ran": event.ran,
        "cached": event.cached,
        "failed": event.failed,
        "blocked": event.blocked,
        "interrupted": event.interrupted,
        "seconds": _rounded(event.seconds),
    }


def _item_end(chunk: ChunkEnded, item: ItemEnded) -> dict[str, object]:
    return {
        "v": _VERSION,
        "event": "item_end",
        "step": chunk.step,
        "item": item.item,
        "label": item.label,
        "key": item.key,
        "outcome": item.outcome.value,
        "seconds": _rounded(item.seconds),
        "peak_memory": item.peak_memory,
        "nbytes": item.nbytes,
        "worker": chunk.worker,
    }


def _item_failed(failure: Failure) -> dict[str, object]:
    return {
        "v": _VERSION,
        "event": "item_end",
        "step": failure.step,
        "item": failure.item,
        "label": failure.label,
        "outcome": Outcome.FAILED.value,
        "seconds": _rounded(failure.seconds),
        "worker": failure.worker,
        "kind": failure.kind,
        "error": failure.error_type,
        "message": failure.message,
    }


def _rounded(seconds: float) -> float:
    return round(seconds, 6)
