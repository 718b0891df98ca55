"""Screens of pipelines with very many steps: what matters first, the rest counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from jpipe.history.journal_reader import ItemLog, RunRow
from jpipe.model.events import ChunkEnded, Event, ItemsKnown, RunEnded, RunStarted, StepEnded, StepStarted
from jpipe.model.outcomes import Outcome
from jpipe.model.plan import Plan, StepPlan
from jpipe.model.reasons import Reason, ReasonKind
from jpipe.render.bars import step_bar
from jpipe.render.journal_text import log_lines
from jpipe.render.plan_text import plan_lines, status_line
from jpipe.render.printed_commands import Commands
from jpipe.render.run_progress import Standing, StepStanding
from jpipe.render.run_text import Teller, Wishes
from jpipe.render.styled_text import Line, width_of

COMMANDS = Commands(("run", "plan", "log"))
WHY = ((Reason(ReasonKind.CODE, "f", "pipeline.py", 3), 34),)


def texts(lines: Iterable[Line]) -> list[str]:
    return ["".join(text for text, _ in one) for one in lines]


def planned(stale: int, pending: int, fresh: int) -> Plan:
    kinds = ["stale"] * stale + ["pending"] * pending + ["fresh"] * fresh
    steps = []
    for number, kind in enumerate(kinds):
        counts = {"fresh": 0, "stale": 0, "pending": 0, kind: 34}
        reasons = WHY if kind == "stale" else ()
        row = StepPlan(
            f"s{number}", "pipeline.py", 3, 34, reasons=reasons, seconds=float(number), seconds_saved=0.0, nbytes=0,
            needs=("s0",), axes=("k",), **counts,
        )  # fmt: skip
        steps.append(row)
    return Plan("main", tuple(steps))


def test_the_status_of_many_steps_is_a_few_words() -> None:
    (few,) = texts([status_line(planned(1, 1, 1))])
    assert few == "main  ✓ up to date: s2  ↻ 34 stale: s0  ? 34: s1"
    (many,) = texts([status_line(planned(30, 20, 10))])
    assert many == (
        "main  ✓ up to date: s50, s51, s52, s53, s54, s55 and 4 more"
        "  ↻ 1,020 stale in 30 steps: s29, s28, s27, s26 and 26 more  ? 680 may run in 20 steps: s30, s31 and 18 more"
    )


def test_the_plan_of_many_steps_shows_the_longest_and_counts_the_others() -> None:
    lines = texts(plan_lines(planned(30, 20, 10), 2, COMMANDS))
    assert len(lines) < 30
    assert lines[2].startswith("↻ s10")
    assert "↻ 10 steps with 340 items more to run: s0, s1, s2, s3, s4, s5 and 4 more" in lines
    assert "? 20 steps with 680 items may run: s30, s31, s32, s33, s34, s35 and 14 more" in lines
    assert "= 10 steps with 340 items cached: s50, s51, s52, s53, s54, s55 and 4 more" in lines
    assert sum(line.startswith(("↻", "?", "=")) for line in texts(plan_lines(planned(9, 5, 5), 2, COMMANDS))) == 19


def ended(step: str, *, ran: int = 0, cached: int = 0) -> StepEnded:
    return StepEnded(step, Outcome.RAN if ran else Outcome.CACHED, ran + cached, ran, cached, 0, 0, 1.0)


def heard(steps: int, events: Iterable[Event], wishes: Wishes) -> list[str]:
    standing = Standing()
    teller = Teller(standing, wishes)
    names = {f"s{number}": 34 for number in range(steps)}
    lines: list[str] = []
    for event in (RunStarted("main", "run", steps, 34 * steps, 2, "cache", steps=names), *events):
        standing.take(event)
        lines += texts(teller.hear(event))
    return lines


@pytest.mark.parametrize("steps", [5, 60])
def test_steps_of_which_nothing_ran_get_no_line_each_where_there_are_many(steps: int) -> None:
    events: list[Event] = [ended(f"s{number}", cached=34) for number in range(3)]
    events += [ItemsKnown("s3", 0, 34), StepStarted("s3"), ended("s3", ran=34), ended("s4", cached=34)]
    told = heard(steps, events, Wishes(commands=COMMANDS))
    cached = [line for line in told if "cached" in line]
    assert cached == ["  =  3 steps with 102 items cached"] if steps == 60 else len(cached) == 4
    assert any("34 ran" in line for line in told)


def test_items_that_warned_are_counted_with_the_command_that_shows_them() -> None:
    output = (("s0[1]", "text\nUserWarning: too few\n"), ("s0[2]", "only text"))
    events: list[Event] = [
        ItemsKnown("s0", 0, 34),
        StepStarted("s0"),
        ChunkEnded("s0", 34, 0, 1, 1.0, (), output),
        ended("s0", ran=34),
    ]
    assert "    1 item warned · jpipe log s0 --warnings" in heard(2, events, Wishes(commands=COMMANDS))
    assert not [line for line in heard(2, events, Wishes(output=True, commands=COMMANDS)) if "warned ·" in line]
    for step in ("s1", "s2"):
        said = ((f"{step}[1]", "UserWarning: too few" if step == "s1" else "text"),)
        events += [StepStarted(step), ChunkEnded(step, 34, 0, 1, 1.0, (), said), ended(step, ran=34)]
    events.append(RunEnded(Outcome.RAN, 102, 0, 0, 0, 1.0))
    assert [line for line in heard(60, events, Wishes(commands=COMMANDS)) if "warned" in line] == [
        "2 items warned in 2 steps · jpipe log --warnings"
    ], "a line for all steps where there are many"


@pytest.mark.parametrize("name", ["s", "a_step_of_the_second_stage_of_all_33"])
def test_the_line_of_a_step_fits_80_columns(name: str) -> None:
    start = RunStarted("main", "run", 1, 34, 2, "cache", steps={name: 34})
    end = StepEnded(name, Outcome.RAN, 34, 30, 4, 0, 0, 3.1, nbytes=170)
    standing = Standing()
    teller = Teller(standing, Wishes())
    lines: list[str] = []
    for event in (start, ItemsKnown(name, 4, 30), StepStarted(name), end):
        standing.take(event)
        lines += texts(teller.hear(event))
    (told,) = [line for line in lines if "3.1s" in line]
    assert width_of(told) <= 80 and told.endswith("170 B") and "30 ran, 4 cached" in told, told


@pytest.mark.parametrize("width", [60, 79, 100])
@pytest.mark.parametrize("name", ["fit", "a_step_whose_name_goes_on_and_on_for_ever_v2", "名前" * 20])
def test_a_bar_survives_its_label(name: str, width: int) -> None:
    step = StepStanding(name, stale=2000, ran=700, started=True, label=f"{name}[degree=2, room='loft', seed=7]")
    drawn = step_bar(step, 12.0, 4, width, False)
    assert width_of(drawn) <= width
    assert len(drawn.split("|")[1]) >= 4, drawn
    assert "700/2000" in drawn
    assert name[-2:] in drawn.split("|")[0]


TIMES: dict[str, tuple[list[tuple[str, int, float, tuple[str, ...]]], str]] = {
    # (step, items to run, seconds of them together, needs), on 4 workers
    "one item": ([("a", 1, 3.0, ())], "about 3s on 4 workers"),
    "many alike": ([("a", 40, 40.0, ())], "about 10s on 4 workers"),
    "five on four workers": ([("a", 5, 10.0, ())], "about 4s on 4 workers"),
    "a chain": ([("a", 1, 3.0, ()), ("b", 1, 4.0, ("a",))], "about 7s on 4 workers"),
    "two branches": ([("a", 1, 3.0, ()), ("b", 1, 4.0, ())], "about 4s on 4 workers"),
    "something new": ([("a", 1, 3.0, ()), ("b", 1, 0.0, ("a",))], "at least 3.0s on 4 workers"),
    "all new": ([("a", 1, 0.0, ()), ("b", 2, 0.0, ())], "3 will run"),
}


@pytest.mark.parametrize("name", TIMES)
def test_the_time_of_a_plan_is_no_shorter_than_what_has_to_wait(name: str) -> None:
    rows, told = TIMES[name]
    steps = tuple(
        StepPlan(step, "f.py", 1, items, 0, items, 0, (), seconds, 0.0, 0, needs, ())
        for step, items, seconds, needs in rows
    )
    first = "".join(text for text, _ in plan_lines(Plan("main", steps), 4, COMMANDS)[0])
    assert first.endswith(told), first


def logged(item: int, step: str, output: str = "", **more: Any) -> ItemLog:
    return ItemLog(step, item, f"{step}[x={item}]", "", "ran", 0.1, 0, 5, 1, output, **more)


def test_the_log_of_many_items_is_told_by_step_with_failures_and_warnings_first() -> None:
    row = RunRow(3, "r", "p.py:main", 0, 1, "failed", {}, (), "", 0, 0, 0, 0, (), "", "")
    items = [logged(n, "quiet", f"read {n} rows\nin {n}.5 s") for n in range(500)]
    items += [logged(n, "fit", f"epoch {n}\n" + (f"UserWarning: only {n} rows" if n < 40 else "")) for n in range(500)]
    failure = {"step": "bad", "label": "bad[x=7]", "item": 7, "items": 9, "how": "raised", "message": "no"}
    items += [logged(n, "bad", failure={**failure, "item": n, "error_type": "ValueError"}) for n in range(9)]
    lines = texts(log_lines(row, items, COMMANDS, whole=False))
    assert len(lines) < 30, lines
    said = [line for line in lines if line.startswith(("✗", "fit", "quiet", "  │"))]
    assert said[0].startswith("✗ bad[x=7]")
    assert said[1:] == [
        "fit   500 items printed, 40 warned · jpipe log fit --warnings --run 3",
        "  │ UserWarning: only 0 rows   fit[x=0], and 39 more items like it",
        "quiet   500 items printed · jpipe log quiet --run 3",
        "  │ read 0 rows   quiet[x=0], and 499 more items like it",
        "  │ in 0.5 s   quiet[x=0], and 499 more items like it",
    ]
    assert len(log_lines(row, items[:500], COMMANDS, whole=True)) > 1500, "of a step that is asked for all that it said"
    silent = [logged(n, "fit", "said" if n == 3 else "") for n in range(500)]
    assert texts(log_lines(row, silent, COMMANDS, whole=True))[-1] == "499 other items printed nothing"
