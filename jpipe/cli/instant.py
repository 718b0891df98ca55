"""Answer at once, without importing the pipeline file, when nothing that matters has changed since the last answer."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.decide.instant.answer import Asked, make_last, recall
from jpipe.history.run_index import append_row, journal_folder

if TYPE_CHECKING:
    from jpipe.cli.invocation import Invocation
    from jpipe.model.events import Observer

__all__ = ["asked", "recalled", "tell_again"]


def asked(call: Invocation) -> Asked:
    """What a command asks for; to be made before the pipeline file is imported."""
    cache = os.path.abspath(call.cache_dir)
    return Asked(os.path.realpath(call.file), call.place.pipeline, call.asked, call.steps, cache)


def recalled(question: Asked) -> dict[str, Any] | None:
    """The answer that was left, while it holds."""
    return recall(question)


def tell_again(question: Asked, answer: dict[str, Any], observer: Observer, jobs: int, begun: float) -> None:
    """The events of a run in which everything is up to date."""
    from jpipe.model.events import ItemsKnown, RunEnded, RunStarted, StepEnded
    from jpipe.model.outcomes import Outcome

    steps = answer["plan"]["steps"]
    items = sum(step["fresh"] for step in steps)
    saved = sum(step["seconds_saved"] for step in steps)
    name = time.strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()
    observer(RunStarted(answer["pipeline"], name, answer["calls"], items, jobs, answer["cache_dir"]))
    for step in steps:
        observer(ItemsKnown(step["name"], step["fresh"], 0, (), step["seconds_saved"]))
    for step in steps:
        counts = {"items": step["fresh"], "cached": step["fresh"], "ran": 0, "failed": 0, "blocked": 0}
        observer(
            StepEnded(
                step["name"],
                Outcome.CACHED,
                **counts,
                seconds=0.0,
                nbytes=step["nbytes"],
                seconds_saved=step["seconds_saved"],
            )
        )
    seconds = time.perf_counter() - begun
    observer(RunEnded(Outcome.CACHED, 0, items, 0, 0, seconds, seconds_saved=saved))
    make_last(question, answer)
    row = {
        **answer["row"],
        "run": name,
        "when": round(time.time(), 3),
        "outcome": "cached",
        "seconds": round(seconds, 6),
    }
    append_row(journal_folder(Path(answer["cache_dir"])), {**row, "cached": items})
