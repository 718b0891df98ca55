"""What people see of a run, told from its events: whole screens against the files in golden/."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from jpipe.model.events import (
    ChunkEnded,
    Event,
    Failure,
    ItemFailed,
    ItemsKnown,
    Notice,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    Waiting,
)
from jpipe.model.outcomes import Outcome
from jpipe.model.reasons import Reason, ReasonKind
from jpipe.render.printed_commands import Commands
from jpipe.render.progress import Mode, Progress
from jpipe.render.run_text import Wishes
from jpipe.render.terminal import Paper

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = Commands(frozenset({"run", "plan", "debug", "show"}))


class Stream(io.StringIO):
    """A stream that says what it is."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def told(
    events: Iterable[Event],
    mode: Mode,
    *,
    terminal: bool = True,
    encoding: str = "utf-8",
    environment: dict[str, str] | None = None,
    wishes: Wishes | None = None,
    quiet: bool = False,
) -> str:
    """What is left on a stream after a run; the frames of bars are taken out as a terminal would."""
    stream = Stream(terminal=terminal, encoding=encoding)
    paper = Paper(stream, environment={"NO_COLOR": "1"} if environment is None else environment)
    progress = Progress(paper, mode, wishes or Wishes(commands=COMMANDS), quiet=quiet)
    with progress:
        for event in events:
            progress(event)
    text = stream.getvalue()
    frames = re.sub(r"[^\n]*\|[^\n]*\[\d\d:\d\d[^\n]*?(?=\r|\n|$)\n?", "", text)
    return re.sub(r"\r?(\x1b\[\d+A)?\x1b\[J|\r", "", frames)


def compare(name: str, text: str) -> None:
    """A screen against its file; ``UPDATE_GOLDEN=1`` writes the files anew, for reading the difference."""
    file = GOLDEN / f"{name}.txt"
    text = re.sub(r"\d\d:\d\d:\d\d ", "12:00:00 ", text).replace(str(GOLDEN.parent) + os.sep, "")
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), f"{name}: see what UPDATE_GOLDEN=1 changes"


STEPS = {"digits": 1, "project": 3, "score": 9, "table": 1}
START = RunStarted("main", "r1", 14, 14, 2, "cache", new_cache=True, steps=STEPS)
CHANGED = Reason(ReasonKind.HELPER, "metrics.balanced", "metrics.py", 14)


def ended(
    step: str, ran: int = 0, cached: int = 0, seconds: float = 0.0, nbytes: int = 0, cut_off: int = 0
) -> StepEnded:
    outcome = Outcome.RAN if ran else Outcome.CACHED
    return StepEnded(step, outcome, ran + cached, ran, cached, 0, 0, seconds, cut_off=cut_off, nbytes=nbytes)


def first_run() -> list[Event]:
    return [
        START,
        ItemsKnown("digits", 0, 1, (Reason(ReasonKind.NEVER_RAN, "digits"),)),
        StepStarted("digits"),
        ChunkEnded("digits", 1, 0, 0, 0.1),
        ended("digits", 1, seconds=0.1, nbytes=920_000),
        ItemsKnown("project", 0, 3),
        StepStarted("project"),
        *[ChunkEnded("project", 1, 0, 1 + i % 2, 0.1) for i in range(3)],
        ended("project", 3, seconds=0.4, nbytes=805_000),
        ItemsKnown("score", 0, 9),
        StepStarted("score"),
        *[ChunkEnded("score", 3, 0, 1 + i % 2, 1.8) for i in range(3)],
        ended("score", 9, seconds=5.6, nbytes=4_100),
        ItemsKnown("table", 0, 1),
        StepStarted("table"),
        ChunkEnded("table", 1, 0, 0, 0.0),
        ended("table", 1, nbytes=2_300),
        RunEnded(Outcome.RAN, 14, 0, 0, 0, 6.3),
    ]


def nothing_to_do() -> list[Event]:
    cached = {"digits": 1, "project": 3, "score": 9, "table": 1}
    return [
        RunStarted("main", "r2", 14, 14, 2, "cache", steps=STEPS),
        *[ItemsKnown(step, count, 0, seconds_saved=1.5) for step, count in cached.items()],
        *[ended(step, cached=count) for step, count in cached.items()],
        RunEnded(Outcome.CACHED, 0, 14, 0, 0, 0.1, seconds_saved=6.1),
    ]


def edited_without_effect() -> list[Event]:
    return [
        RunStarted("main", "r3", 14, 14, 2, "cache", expected_seconds={"score": 1.2}, steps=STEPS),
        ItemsKnown("digits", 1, 0),
        ItemsKnown("project", 3, 0),
        ended("digits", cached=1),
        ended("project", cached=3),
        ItemsKnown("score", 0, 9, (CHANGED,)),
        StepStarted("score"),
        *[ChunkEnded("score", 3, 0, 1, 1.8) for _ in range(3)],
        ended("score", 9, seconds=5.7, nbytes=4_100),
        ItemsKnown("table", 1, 0),
        ended("table", cached=1, cut_off=1),
        RunEnded(Outcome.RAN, 9, 5, 0, 0, 5.9, seconds_saved=0.6),
    ]


def failure(item: int, kind: str = "raised", **changes: object) -> Failure:
    values: dict[str, object] = {
        "step": "score",
        "label": f"score[k=32, C={-item}.0]",
        "item": item,
        "items": 9,
        "kind": kind,
        "error_type": "InvalidParameterError",
        "message": "The 'C' parameter of SVC must be a float in the range\n(0.0, inf). Got -1.0 instead.",
        "frames": (
            (str(GOLDEN / "failing.py.txt"), 5, "score", True),
            ("/env/lib/python3.11/site-packages/sklearn/svm/_base.py", 190, "fit", False),
            ("/env/lib/python3.11/site-packages/joblib/parallel.py", 77, "__call__", False),
        ),
        "arguments": (
            ("Z", "ndarray (1797, 32) float64, 460 kB", "project[k=32]"),
            ("y", "ndarray (1797,) int64", "digits[1]"),
            ("C", f"{-item}.0", "main(Cs)"),
        ),
        "seconds": 0.02,
        "worker": 2,
    }
    return Failure(**{**values, **changes})  # type: ignore[arg-type]


def failing(*failures: Failure) -> list[Event]:
    bad = len(failures)
    return [
        RunStarted("main", "r4", 14, 14, 2, "cache", steps=STEPS),
        ItemsKnown("digits", 1, 0),
        ItemsKnown("project", 3, 0),
        ended("digits", cached=1),
        ended("project", cached=3),
        ItemsKnown("score", 0, 9, (CHANGED,)),
        StepStarted("score"),
        *map(ItemFailed, failures),
        ChunkEnded("score", 9 - bad, bad, 2, 4.0),
        StepEnded("score", Outcome.FAILED, 9, 9 - bad, 0, bad, 0, 4.0, nbytes=4_000),
        StepEnded("table", Outcome.BLOCKED, 1, 0, 0, 0, 1, 0.0),
        RunEnded(Outcome.FAILED, 9 - bad, 4, bad, 1, 4.1),
    ]


SCREENS = {
    "first_run": first_run(),
    "nothing_to_do": nothing_to_do(),
    "early_cutoff": edited_without_effect(),
    "failure": failing(failure(7)),
    "alike": failing(failure(3), failure(5), failure(7)),
    "killed": failing(
        failure(7, "killed", error_type="WorkerLostError", frames=(),
                message="its worker process was killed, most likely out of memory",
                detail="SIGKILL", peak_memory=11_800_000_000, machine_memory=16_700_000_000)
    ),
    "crashed": failing(
        failure(7, "killed", error_type="WorkerLostError", message="Fatal Python error: Segmentation fault",
                detail="SIGSEGV", peak_memory=212_000_000)
    ),
    "causes": failing(
        failure(7, frames=((str(GOLDEN / "failing.py.txt"), 9, "table", True), *failure(7).frames),
                causes=(("because of KeyError: 'C'", str(GOLDEN / "failing.py.txt"), 4),
                        ("while handling ZeroDivisionError: division by zero", "", 0)),
                message="\n".join(f"line {i} of many" for i in range(30)))
    ),
    "timeout": failing(failure(7, "timeout", error_type="ItemTimeoutError", message="", frames=(), seconds=30.0)),
    "printed": failing(failure(7, output="".join(f"epoch {i}\n" for i in range(20)), attempts=3)),
    "notices": [
        *first_run()[:3],
        Notice("connect() returned a sqlite3.Connection, which cannot be pickled: kept for this run only",
               "make it @step(cache=False), or return the path and open it inside the step", "connect"),
        Waiting("project", "run 12 on host-a (since 12:01)"),
        *first_run()[3:],
    ],
    "interrupted": [
        *failing()[:7],
        ChunkEnded("score", 5, 0, 1, 2.0),
        StepEnded("score", Outcome.INTERRUPTED, 9, 5, 0, 0, 0, 2.0, interrupted=4),
        StepEnded("table", Outcome.BLOCKED, 1, 0, 0, 0, 1, 0.0),
        RunEnded(Outcome.INTERRUPTED, 5, 4, 0, 1, 2.1, interrupted=4),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCREENS)
def test_screen_of_a_terminal(name: str) -> None:
    compare(f"terminal_{name}", told(SCREENS[name], Mode.BARS))


@pytest.mark.parametrize("name", SCREENS)
def test_screen_of_a_log(name: str) -> None:
    compare(f"log_{name}", told(SCREENS[name], Mode.PLAIN, terminal=False))


def test_a_log_holds_no_carriage_return_no_escape_and_no_bar() -> None:
    text = told(first_run(), Mode.PLAIN, terminal=False, environment={})
    assert not re.search(r"[\r\x1b]|%\|", text)


def test_a_stream_that_shows_only_ascii_gets_ascii_twins() -> None:
    text = told(SCREENS["failure"], Mode.BARS, encoding="ascii")
    assert text.isascii()
    compare("ascii_failure", text)


def test_color_marks_but_never_carries_the_meaning() -> None:
    plain = told(SCREENS["failure"], Mode.BARS)
    colored = told(SCREENS["failure"], Mode.BARS, environment={"FORCE_COLOR": "1"})
    assert "\x1b[31m" in colored
    assert re.sub(r"\x1b\[[\d;]*m", "", colored) == plain


def test_quiet_says_nothing_of_a_good_run_and_everything_of_a_bad_one() -> None:
    assert told(first_run(), Mode.BARS, quiet=True) == ""
    assert told(nothing_to_do(), Mode.PLAIN, quiet=True) == ""
    assert "InvalidParameterError" in told(SCREENS["failure"], Mode.BARS, quiet=True)


def test_progress_off_still_says_how_it_ended() -> None:
    assert told(first_run(), Mode.OFF).strip() == "main finished in 6.3s · 14 ran, 0 from cache"


def test_messages_name_only_commands_that_exist_and_repeat_what_the_call_was_about() -> None:
    few = Wishes(commands=Commands(frozenset({"run"}), "my study/p.py:grid", (("--set", "ks=8,16"),)))
    text = told(SCREENS["failure"], Mode.BARS, wishes=few)
    assert "jpipe debug" not in text and "jpipe plan" not in text
    assert "jpipe run 'my study/p.py:grid' score --item 7 --set ks=8,16" in text


def test_what_steps_print_stands_behind_the_items_label_when_wished() -> None:
    chunk = ChunkEnded("score", 1, 0, 1, 0.1, output=(("score[C=1.0]", "one\r\x1b[2Jtwo\n"),))
    events = [*edited_without_effect()[:7], chunk]
    assert "two" not in told(events, Mode.PLAIN)
    shown = told(events, Mode.PLAIN, terminal=False, wishes=Wishes(output=True))
    assert "score[C=1.0] | one" in shown
    assert "\x1b" not in shown, "a step's escape codes must not move the reader's cursor"


def test_the_three_tracebacks() -> None:
    one = failure(7, traceback="Traceback (most recent call last):\n  Python's own text\n")
    short, long, native = (
        told(failing(one), Mode.BARS, wishes=Wishes(tb=tb, commands=COMMANDS)) for tb in ("short", "long", "native")
    )
    assert "2 frames in sklearn, joblib hidden (--tb=long)" in short
    assert "_base.py:190 in fit" in long and "hidden" not in long
    assert "Python's own text" in native and "Python's own text" not in short


def test_a_closed_stream_ends_the_showing_and_not_the_run() -> None:
    stream = Stream(terminal=False)
    progress = Progress(Paper(stream, environment={}), Mode.PLAIN)
    events = first_run()
    progress(events[0])
    stream.close()
    for event in events[1:]:
        progress(event)
    assert progress.standing.end == events[-1]
