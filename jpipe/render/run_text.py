"""A run told in lines: what is said when a step starts, when it is over, and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jpipe.model.events import ChunkEnded, Event, Notice, RunEnded, RunStarted, StepEnded, StepStarted, Waiting
from jpipe.model.outcomes import Outcome
from jpipe.render.failure_text import failed_end, failures_screen
from jpipe.render.humanize import MANY_STEPS, about, counted, listed, size, took
from jpipe.render.printed_commands import Commands
from jpipe.render.source_excerpt import short_path
from jpipe.render.styled_text import Line, Piece, bad, columns, dim, good, line, name, strong, warn, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jpipe.render.run_progress import Standing, StepStanding

__all__ = ["Teller", "Wishes", "brief_reasons", "chunk_end", "notice", "run_end", "to_run", "up_to_date"]


_MOST_RESULTS = 4
_COLUMNS = 80
"""Of a terminal that is no wider, a step's line takes no more where its name allows it."""


class Wishes(NamedTuple):
    """What a reader wants to be told.

    Parameters
    ----------
    output
        What items print, as soon as their chunk is back.
    items
        Each item that ended (for observers that get details).
    tb
        How much of a traceback: ``"short"``, ``"long"`` or ``"native"``.
    commands
        How to call jpipe again.
    asked
        What of the pipeline was asked for, if not all of it: ``score``, ``items 3, 5 of score``.
    """

    output: bool = False
    items: bool = False
    tb: str = "short"
    commands: Commands = Commands()
    asked: str = ""


class Teller:
    """Says what a terminal shows above its bars, event by event.

    A run that has nothing to do says one line; so nothing is said before the first step starts.

    Parameters
    ----------
    standing
        Has taken each event before `hear` gets it.
    wishes
        What to tell.
    """

    def __init__(self, standing: Standing, wishes: Wishes) -> None:
        self._standing = standing
        self._wishes = wishes
        self._opened = False
        self._told: set[str] = set()

    def hear(self, event: Event) -> list[Line]:
        """The lines that this event is worth."""
        match event:
            case StepStarted():
                return self._open() + self._why(self._standing.step(event.step))
            case StepEnded():
                if not (self._opened or event.ran or event.failed) or self._is_folded(event):
                    return []
                noted = () if self._has_many else noted_items([self._standing.step(event.step)], self._wishes)
                return [_step_end(event, self._width), *([line("    ", noted)] if noted else [])]
            case ChunkEnded():
                return chunk_end(event, self._wishes)
            case Notice():
                return notice(event)
            case Waiting():
                return [line("  ", warn("·"), " ", name(event.step), f" waits: {event.holder} computes it")]
            case RunEnded():
                noted = noted_items([*self._standing.steps.values()], self._wishes) if self._has_many else ()
                end = run_end(event, self._standing, self._wishes, self._opened)
                return [*([(), noted] if noted else []), *end]
            case _:
                return []

    @property
    def _has_many(self) -> bool:
        return self._standing.start is not None and len(self._standing.start.steps) > MANY_STEPS

    def _open(self) -> list[Line]:
        if self._opened or self._standing.start is None:
            return []
        self._opened = True
        over = [step.ended for step in self._standing.steps.values() if step.ended is not None]
        folded = [ended for ended in over if self._is_folded(ended)]
        told = [_step_end(ended, self._width) for ended in over if ended not in folded]
        if folded:
            items = counted(sum(ended.cached for ended in folded), "item")
            told.append(line("  ", dim(f"=  {counted(len(folded), 'step')} with {items} cached")))
        return [*_header(self._standing.start), *told]

    def _is_folded(self, event: StepEnded) -> bool:
        """Whether a step gets no line of its own: among many, one of which nothing ran."""
        idle = not (event.ran or event.failed or event.blocked or event.interrupted or event.cut_off)
        return idle and self._has_many

    def _why(self, step: StepStanding) -> list[Line]:
        reasons = brief_reasons(step)
        if not reasons or step.name in self._told:
            return []
        self._told.add(step.name)
        padded = f"{step.name:<{self._width}}"
        return [line("  ", warn("↻"), " ", name(padded), f" {to_run(step, self._standing)}: {reasons}")]

    @property
    def _width(self) -> int:
        known = [*self._standing.steps, *(self._standing.start.steps if self._standing.start else ())]
        return max(10, *map(width_of, known)) if known else 10


def _header(start: RunStarted) -> list[Line]:
    """What is about to run."""
    cache = f"cache {short_path(start.cache_dir)}" + (" (new, ignored by git)" if start.new_cache else "")
    steps = f" in {counted(len(start.steps), 'step')}" if start.steps else ""
    parts = (counted(start.items, "item") + steps, counted(start.jobs, "worker"), cache)
    return [line(strong(start.pipeline), *(f" · {part}" for part in parts)), ()]


def _step_end(event: StepEnded, width: int) -> Line:
    """What became of a step."""
    mark, counts = _mark(event), _counts(event)
    text = line("  ", mark, " ", name(f"{event.step:<{width}}"), " ", counts)
    if not (event.ran or event.failed):
        return text
    room = min(30, _COLUMNS - width - 24)  # what the mark, the blanks and the figures leave
    blank = " " * max(1, room - sum(width_of(piece) for piece, _ in counts))
    figures = f"{took(event.seconds):>6}" + (f"{size(event.nbytes):>12}" if event.nbytes else "")
    return line(text, blank, dim(figures))


def _mark(event: StepEnded) -> Piece:
    if event.failed:
        return bad("✗")
    if event.blocked or event.interrupted:
        return warn("·")
    return good("✓") if event.ran else dim("=")


def _counts(event: StepEnded) -> Line:
    if event.cut_off and not (event.ran or event.failed or event.blocked or event.interrupted):
        return line(dim(f"{event.cached:,} cached"), ": what it needs came out the same")
    parts: list[str | Piece] = []
    for number, word, style in (
        (event.ran, "ran", good),
        (event.failed, "failed", bad),
        (event.cached, "cached", dim),
        (event.blocked, "not started", warn),
        (event.interrupted, "interrupted", warn),
    ):
        if number:
            parts += [", " if parts else "", style(f"{number:,} {word}")]
    return line(*parts) if parts else line(dim("nothing to do"))


def noted_items(steps: Sequence[StepStanding], wishes: Wishes) -> Line:
    """How many items of steps warned, were retried or printed, and how to read it; nothing where that was shown."""
    counts: list[tuple[int, str]] = []
    for word in ("retried",) if wishes.output else ("warned", "retried", "printed"):
        number = sum(getattr(step, word) for step in steps)
        if number and not (word == "printed" and counts):
            counts.append((number, word))
    if not counts:
        return ()
    saying = [step for step in steps if any(getattr(step, word) for _, word in counts)]
    (number, word), *others = counts
    told = ", ".join([f"{counted(number, 'item')} {word}", *(f"{more:,} {what}" for more, what in others)])
    of_steps = f" in {counted(len(saying), 'step')}" if len(saying) > 1 else ""
    calm = word == "printed"
    words = [*([saying[0].name] if len(saying) == 1 else []), *([] if calm else ["--warnings"])]
    log = wishes.commands.text("log", *words, parameters=False)
    return line((dim if calm else warn)(told + of_steps), dim(f" · {log}" if log else ""))


def to_run(step: StepStanding, standing: Standing) -> str:
    """How many items run, as soon as it is decided of all."""
    items = standing.start.steps.get(step.name, 0) if standing.start and not standing.start.partial else 0
    return f"{step.stale:,} to run" if step.known >= items else f"up to {items - step.cached:,} to run"


def brief_reasons(step: StepStanding) -> str:
    """The reasons of a step's items in half a line; nothing for one that never ran, which explains itself."""
    texts = [str(reason) for reason in step.reasons if reason.kind.value != "never ran"]
    return listed(list(dict.fromkeys(texts)), 1)


def notice(event: Notice) -> list[Line]:
    """Something that stops nothing."""
    about_step = f"{event.step}: " if event.step and event.step not in event.message else ""
    first = line(warn("!"), f" {about_step}{event.message}")
    return [first, line(dim(f"  {event.hint}"))] if event.hint else [first]


def _printed(event: ChunkEnded) -> list[Line]:
    """What items printed, each line behind the item's label."""
    return [
        line(dim(f"{label} | "), text) for label, output in event.output for text in output.rstrip("\n").splitlines()
    ]


def up_to_date(pipeline: str, cached: int, seconds_saved: float) -> Line:
    """The one line of a run that had nothing to do."""
    saved = f" · saved {about(seconds_saved)}" if seconds_saved >= 0.95 else ""
    return line(name(pipeline), " is up to date · ", counted(cached, "item"), f" from cache{saved}")


def run_end(event: RunEnded, standing: Standing, wishes: Wishes, opened: bool) -> list[Line]:
    """The last lines of a run; `opened` says whether there are others before them."""
    if event.outcome is Outcome.BLOCKED:  # of --frozen, whose error is told next
        return []
    if event.outcome not in (Outcome.RAN, Outcome.CACHED):
        return [*failures_screen(standing.failures, wishes.commands, wishes.tb), *failed_end(event, standing)]
    pipeline = standing.start.pipeline if standing.start else "the run"
    if not event.ran and not opened:
        return [up_to_date(wishes.asked or pipeline, event.cached, event.seconds_saved)]
    saved = f" · saved {about(event.seconds_saved)}" if event.cached and event.seconds_saved >= 0.95 else ""
    end = f" finished in {took(event.seconds)} · {event.ran:,} ran, {event.cached:,} from cache{saved}"
    return [(), line(strong(pipeline), end), *_results(event, wishes.commands), *_extremes(event)]


def _results(event: RunEnded, commands: Commands) -> list[Line]:
    """What the run gave, and how to see it."""
    rows = []
    for step, gave in event.results[:_MOST_RESULTS]:
        show = commands.text("show", step, parameters=False)
        rows.append((line("  ", name(step), " → ", gave), line(dim(show)) if show else ()))
    return columns(rows, gap=6)


def chunk_end(event: ChunkEnded, wishes: Wishes) -> list[Line]:
    """What is worth saying of a chunk: what its items printed, and that they ended, where that is wished."""
    return (_printed(event) if wishes.output else []) + (_items(event) if wishes.items else [])


def _extremes(event: RunEnded) -> list[Line]:
    """The slowest and the largest item, where that is worth knowing."""
    parts: list[str] = []
    if event.slowest and event.slowest[1] >= 10 and event.ran > 1:
        parts.append(f"slowest {event.slowest[0]} {took(event.slowest[1])}")
    if event.largest and event.largest[1] >= 10_000_000 and event.ran > 1:
        parts.append(f"largest {event.largest[0]} {size(event.largest[1])}")
    return [line(dim("  " + " · ".join(parts)))] if parts else []


def _items(event: ChunkEnded) -> list[Line]:
    """The items of a chunk, one a line."""
    return [
        line(dim("    "), name(item.label), dim(f"  {item.outcome.value} {took(item.seconds)}  {size(item.nbytes)}"))
        for item in event.items
    ]
