"""What the steps of a run gave, as thumbnails; items that are numbers or rows of numbers as one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jpipe.decide.run_results import ItemResult, results_in_run
from jpipe.history.journal_reader import RunLog
from jpipe.render.humanize import size
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_svg import legible
from jpipe.report.picture import sparkline_svg
from jpipe.report.thumbnails import is_scalar, thumbnail
from jpipe.store import MissingEntry, Store

__all__ = ["Budget", "results_html"]

_MOST_ITEMS = 6
_MOST_ROWS = 200
_LARGEST_LOADED = 256 << 20
"""A result that is larger than this is not read for a thumbnail, mapped or not."""


class Budget(NamedTuple):
    """How much a report may take: whether there is time left, and characters for all thumbnails."""

    has_time: Callable[[], bool]
    characters: int


def results_html(store: Store, log: RunLog, steps: Sequence[str], budget: Budget, commands: Commands) -> dict[str, str]:
    """By step, what it gave in a run; steps without results are left out.

    Parameters
    ----------
    store
        The cache.
    log
        The journal that noted what the run gave.
    steps
        The most interesting first: when the budget is spent, the others are only named.
    commands
        How to call jpipe about the pipeline.
    """
    shown: dict[str, str] = {}
    left = budget.characters
    for step in steps:
        items = [item for item in results_in_run(store, log, step) if item.content]
        if not items:
            continue
        if left <= 0 or (shown and not budget.has_time()):
            command = commands.text("show", step, parameters=False)
            how = legible(f"; {command} shows them" if command else "")
            shown[step] = f'<p class="jp-small">{len(items):,} results{how}</p>'
            continue
        shown[step] = _step(store, items)
        left -= len(shown[step])
    return shown


def _step(store: Store, items: Sequence[ItemResult]) -> str:
    small = [item for item in items[:_MOST_ROWS] if item.nbytes <= 2000]
    if len(small) > 1 and len(small) == len(items[:_MOST_ROWS]):
        values = [_loaded(store, item) for item in small]
        rows = [_row(value) for value in values]
        keys = list(dict.fromkeys(key for row in rows for key in row or ()))
        if all(row is not None for row in rows) and len(keys) <= 8:
            return _table(items, small, [row or {} for row in rows], keys)
    cards = []
    for item in items[:_MOST_ITEMS]:
        inside = _card(store, item)
        cards.append(f'<div class="jp-card"><p class="jp-name">{legible(_inside(item.label))}</p>{inside}</div>')
    left = len(items) - _MOST_ITEMS
    more = f'<p class="jp-small">and {left:,} more items</p>' if left > 0 else ""
    return f'<div class="jp-cards">{"".join(cards)}</div>{more}'


def _card(store: Store, item: ItemResult) -> str:
    if item.where is None:
        return '<p class="jp-small">not in the cache any more</p>'
    if item.nbytes > _LARGEST_LOADED:
        return f'<p class="jp-small">{size(item.nbytes)}, not shown</p>'
    value = _loaded(store, item)
    return thumbnail(value) if value is not _GONE else '<p class="jp-small">cannot be loaded</p>'


_GONE = object()


def _loaded(store: Store, item: ItemResult) -> Any:
    if item.where is None:
        return _GONE
    try:
        return store.load(item.where)
    except (MissingEntry, MemoryError):
        return _GONE


def _row(value: Any) -> dict[str, Any] | None:
    """An item as cells: a number, or a flat dict of short things with a number among them."""
    if is_scalar(value):
        return {"": value}
    if isinstance(value, Mapping) and any(map(is_scalar, value.values())):
        plain = all(is_scalar(one) or isinstance(one, (str, bool, type(None))) for one in value.values())
        return {str(key): one for key, one in value.items()} if plain else None
    return None


def _table(
    items: Sequence[ItemResult], shown: Sequence[ItemResult], rows: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> str:
    lines = []
    for key in keys:
        column = [row.get(key) for row in rows]
        if len(column) > 2 and all(is_scalar(value) for value in column):
            numbers = [float(value) for value in column if value is not None]
            name = f'<p class="jp-name">{legible(key)}</p>' if key else ""
            facts = f"{min(numbers):.5g} to {max(numbers):.5g}"
            line = sparkline_svg(numbers, f"{legible(key)} by item: {facts}")
            lines.append(f'<div class="jp-card">{name}{line}<p class="jp-small">{facts}</p></div>')
    head = "".join(f'<th scope="col">{legible(key or "value")}</th>' for key in keys)
    body = "".join(
        f'<tr><th scope="row">{legible(_inside(item.label))}</th>{"".join(_cell(row.get(key)) for key in keys)}</tr>'
        for item, row in zip(shown, rows, strict=True)
    )
    left = len(items) - len(shown)
    more = f'<p class="jp-small">and {left:,} more items</p>' if left > 0 else ""
    table = f'<table class="jp-head"><tr><th scope="col">item</th>{head}</tr>{body}</table>'
    inside = f'<div class="jp-cards">{"".join(lines)}</div>' if lines else ""
    if len(shown) > 12:
        table = f"<details><summary>{len(items):,} items</summary>{table}{more}</details>"
        more = ""
    return f"{inside}{table}{more}"


def _cell(value: Any) -> str:
    text = f"{float(value):.6g}" if is_scalar(value) and not isinstance(value, int) else str(value)[:60]
    return f"<td>{legible(text)}</td>"


def _inside(label: str) -> str:
    name, bracket, rest = label.partition("[")
    return rest[:-1] if bracket and rest.endswith("]") else name
