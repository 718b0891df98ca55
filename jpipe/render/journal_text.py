"""The journal of a run as text: what items printed, and what they failed with."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from jpipe.model.events import Failure
from jpipe.model.warned import is_warning
from jpipe.render.failure_text import failure_screen, failures_screen
from jpipe.render.humanize import MANY_STEPS, ago, counted, listed, size, took
from jpipe.render.styled_text import Line, bad, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from jpipe.history.journal_reader import ItemLog, RunRow
    from jpipe.render.printed_commands import Commands

__all__ = ["failure_of", "log_lines"]

_TABLES: dict[str, tuple[type, ...]] = {
    "frames": (str, int, str, bool),
    "arguments": (str, str, str),
    "causes": (str, str, int),
}
"""The columns of those parts of a failure that are tables."""

_MANY = 20
"""Of more items than this, those that matter less are told together."""
_MOST_LINES = 3
"""Lines that are shown of a step among many items, each standing for all that differ from it in numbers only."""
_LONGEST = 200
"""Characters of such a line."""


def log_lines(
    row: RunRow, items: Sequence[ItemLog], commands: Commands, *, whole: bool, tb: str = "short"
) -> list[Line]:
    """What items left in a run.

    Parameters
    ----------
    row, items
        The run, and the items to show.
    commands
        How to call jpipe again.
    whole
        Whether each item is to be shown, however many there are; of few, also those that printed nothing.
    tb
        How much of a traceback: ``"short"``, ``"long"`` or ``"native"``.
    """
    lines = [line(dim(f"run #{row.number}, {ago(time.time() - row.when)}, {row.outcome}"))]
    telling = [item for item in items if item.output or item.failure]
    if not whole and len(telling) > _MANY:
        return [*lines, *_folded(row, telling, commands, tb)]
    shown = telling if not whole or len(items) > _MANY else items
    for item in shown:
        lines += [(), *_item(item, commands, tb)]
    if whole and telling and len(shown) < len(items):
        lines += [(), line(dim(f"{counted(len(items) - len(shown), 'other item')} printed nothing"))]
    if not shown:
        lines.append(line("nothing was printed" if items else "no item of it warned or was tried again"))
    return lines


def _folded(row: RunRow, items: Sequence[ItemLog], commands: Commands, tb: str) -> list[Line]:
    """The failures of a run, alike ones together, and what its other items printed by step, warnings first."""
    failures = [failure_of(item.failure) for item in items if item.failure is not None]
    by_step: dict[str, list[ItemLog]] = {}
    for item in items:
        if item.failure is None:
            by_step.setdefault(item.step, []).append(item)
    order = sorted(by_step, key=lambda step: -any(item.warned or item.attempts > 1 for item in by_step[step]))
    lines = failures_screen(failures, commands, tb)
    for step in order[:MANY_STEPS]:
        lines += [(), *_of_step(row, step, by_step[step], commands)]
    rest = order[MANY_STEPS:]
    if rest:
        left = counted(sum(len(by_step[step]) for step in rest), "item")
        lines += [(), line(dim(f"and {left} of {counted(len(rest), 'more step')}: {listed(rest)}"))]
    return lines


def _of_step(row: RunRow, step: str, items: Sequence[ItemLog], commands: Commands) -> list[Line]:
    warned = sum(item.warned for item in items)
    again = sum(item.attempts > 1 for item in items)
    noted = [f"{number:,} {word}" for number, word in ((warned, "warned"), (again, "retried")) if number]
    facts = ", ".join([f"{counted(len(items), 'item')} printed", *noted])
    log = commands.text("log", step, *(["--warnings"] if noted else []), "--run", str(row.number), parameters=False)
    head = line(strong(step), "   ", warn(facts) if noted else facts, dim(f" · {log}" if log else ""))
    found = _kinds_of_lines(items)
    shown = [kind for kind in found if is_warning(kind[0])] or found
    lines = [head]
    for text, label, number in shown[:_MOST_LINES]:
        alike = f", and {counted(number - 1, 'more item')} like it" if number > 1 else ""
        lines.append(line(dim("  │ "), text[:_LONGEST], dim("   "), name(label), dim(alike)))
    if len(shown) > _MOST_LINES:
        lines.append(line(dim(f"  │ and {counted(len(shown) - _MOST_LINES, 'other line')}")))
    return lines


def _kinds_of_lines(items: Iterable[ItemLog]) -> list[tuple[str, str, int]]:
    """Lines that differ in more than numbers: the first, the item that printed it, and how many items did."""
    found: dict[str, tuple[str, str, set[int]]] = {}
    for item in items:
        for text in filter(str.strip, item.output.splitlines()):
            kind = re.sub(r"\d+(?:[.:,]\d+)*", "0", text)
            found.setdefault(kind, (text, item.label, set()))[2].add(item.item)
    return [(text, label, len(numbers)) for text, label, numbers in found.values()]


def _item(item: ItemLog, commands: Commands, tb: str) -> list[Line]:
    if item.failure is not None:
        failure = failure_of(item.failure)
        printed = [line("  it printed"), *_printed(failure.output), ()] if failure.output else []
        return [*printed, *failure_screen(failure._replace(output=""), commands, tb)]
    facts = [took(item.seconds), size(item.nbytes)]
    facts += [f"tried {item.attempts} times"] if item.attempts > 1 else []
    mark = good("✓ ") if item.outcome == "ran" else bad("✗ ")
    head = line(mark, strong(item.label), dim(f"   item {item.item} · {' · '.join(facts)}"))
    return [head, *_printed(item.output)] if item.output else [line(head, dim(" · printed nothing"))]


def _printed(output: str) -> list[Line]:
    return [line(dim("  │ "), text) for text in output.rstrip("\n").splitlines()]


def failure_of(row: Mapping[str, Any]) -> Failure:
    """The failure that a journal tells of; what it lacks, or has of another type, is left at its default."""
    known: dict[str, Any] = {
        "step": "",
        "label": "",
        "item": 0,
        "items": 1,
        "kind": "",
        "error_type": "",
        "message": "",
    }
    defaults = Failure._field_defaults
    for field in Failure._fields:
        value = row.get(field)
        if field in _TABLES:
            known[field] = _table(value, _TABLES[field])
        elif isinstance(value, str if isinstance(known.get(field, defaults.get(field)), str) else (int, float)):
            known[field] = value
    return Failure(**known)


def _table(value: Any, types: tuple[type, ...]) -> tuple[tuple[Any, ...], ...]:
    rows = value if isinstance(value, list) else []
    return tuple(
        tuple(row)
        for row in rows
        if isinstance(row, list) and len(row) == len(types) and all(map(isinstance, row, types))
    )
