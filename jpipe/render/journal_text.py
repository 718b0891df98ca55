"""The journal of a run as text: what items printed, and what they failed with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from jpipe.model.events import Failure
from jpipe.render.failure_text import failure_screen
from jpipe.render.humanize import ago, size, took
from jpipe.render.styled_text import Line, bad, dim, good, line, strong

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jpipe.history.journal_reader import ItemLog, RunRow
    from jpipe.render.printed_commands import Commands

__all__ = ["log_lines"]

_TABLES: dict[str, tuple[type, ...]] = {
    "frames": (str, int, str, bool),
    "arguments": (str, str, str),
    "causes": (str, str, int),
}
"""The columns of those parts of a failure that are tables."""


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
        Whether to show items that printed nothing, too.
    tb
        How much of a traceback: ``"short"``, ``"long"`` or ``"native"``.
    """
    lines = [line(dim(f"run #{row.number}, {ago(time.time() - row.when)}, {row.outcome}"))]
    shown = [item for item in items if whole or item.output or item.failure]
    for item in shown:
        lines += [(), *_item(item, commands, tb)]
    if not shown:
        lines.append(line("nothing was printed" if items else "no item of it warned or was tried again"))
    return lines


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
    for name in Failure._fields:
        value = row.get(name)
        if name in _TABLES:
            known[name] = _table(value, _TABLES[name])
        elif isinstance(value, str if isinstance(known.get(name, defaults.get(name)), str) else (int, float)):
            known[name] = value
    return Failure(**known)


def _table(value: Any, types: tuple[type, ...]) -> tuple[tuple[Any, ...], ...]:
    rows = value if isinstance(value, list) else []
    return tuple(
        tuple(row)
        for row in rows
        if isinstance(row, list) and len(row) == len(types) and all(map(isinstance, row, types))
    )
