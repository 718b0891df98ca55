"""Signs of life in a log: a run whose steps take long says so, in whole lines, and only when nothing else was said."""

from __future__ import annotations

import io
import re
import threading
import time

from jpipe.model.events import ChunkEnded, ItemsKnown, RunEnded, RunStarted, StepEnded, StepStarted
from jpipe.model.outcomes import Outcome
from jpipe.render.eta import rate, run_seconds_left, seconds_left
from jpipe.render.progress import Mode, Progress
from jpipe.render.run_progress import Standing
from jpipe.render.terminal import Paper


def begun(seconds_an_item: float | None = None) -> list[RunStarted | ItemsKnown | StepStarted]:
    expected = {} if seconds_an_item is None else {"fit": seconds_an_item}
    return [
        RunStarted("main", "r", 2, 11, 2, "cache", expected_seconds=expected, steps={"fit": 10, "table": 1}),
        ItemsKnown("fit", 2, 8),
        StepStarted("fit"),
    ]


def test_a_silent_run_shows_where_it_stands_and_then_stops_beating() -> None:
    stream = io.StringIO()
    progress = Progress(Paper(stream, environment={}), Mode.PLAIN, heartbeat=0.3)
    with progress:
        for event in begun(3.0):
            progress(event)
        progress(ChunkEnded("fit", 4, 0, 1, 1.0))
        time.sleep(2.5)
        progress(StepEnded("fit", Outcome.RAN, 10, 8, 2, 0, 0, 2.0))
        progress(RunEnded(Outcome.RAN, 8, 2, 0, 0, 2.0))
    length = len(stream.getvalue())
    beats = re.findall(r"^\d\d:\d\d:\d\d fit: 4/8, (?:about \d+s|under 1s) left$", stream.getvalue(), re.MULTILINE)
    assert 1 <= len(beats) <= 9
    time.sleep(1.0)
    assert len(stream.getvalue()) == length
    assert not any(thread.name == "jpipe-progress" for thread in threading.enumerate())


def test_a_run_that_speaks_needs_no_signs_of_life() -> None:
    stream = io.StringIO()
    with Progress(Paper(stream, environment={}), Mode.PLAIN, heartbeat=30.0) as progress:
        for event in begun():
            progress(event)
        time.sleep(1.5)
    assert "fit: 0/8" not in stream.getvalue()


def standing(seconds_an_item: float | None, finished: int) -> Standing:
    found = Standing()
    for event in begun(seconds_an_item):
        found.take(event)
    if finished:
        found.take(ChunkEnded("fit", finished, 0, 1, 1.0))
    return found


def test_the_rate_counts_what_ran_and_leans_on_earlier_runs_until_then() -> None:
    unknown = standing(None, 0)
    assert rate(unknown.steps["fit"], 5.0, 2) is None
    assert seconds_left(unknown.steps["fit"], 5.0, 2) is None
    seen = standing(None, 4)
    assert rate(seen.steps["fit"], 2.0, 2) == 2.0, "4 of 8 in 2 seconds; the 2 cached ones do not count"
    assert seconds_left(seen.steps["fit"], 2.0, 2) == 2.0
    remembered = standing(3.0, 0)
    assert seconds_left(remembered.steps["fit"], 0.0, 2) == 8 * 3.0 / 2, "8 items of 3 seconds on 2 workers"
    slower = standing(3.0, 4)
    guess = seconds_left(slower.steps["fit"], 60.0, 2)
    assert guess is not None and 6.0 < guess < 60.0, "what is seen moves the estimate away from what was"


def test_the_end_of_the_run_is_foretold_only_when_every_step_is_known() -> None:
    partly = standing(3.0, 4)
    assert run_seconds_left(partly, {"fit": 6.0}) is None, "of table nothing is known"
    partly.take(ItemsKnown("table", 1, 0))
    left = run_seconds_left(partly, {"fit": 6.0})
    assert left is not None and 5.0 < left < 7.0
