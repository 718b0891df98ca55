"""``jpipe show``: a result from the cache, without running anything."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.run import items_of
from jpipe.errors import CacheMiss, ExitCode, NothingSelectedError, UsageError, nearest
from jpipe.render.humanize import counted, foreign_text
from jpipe.render.styled_text import dim, line
from jpipe.render.value_text import value_text

if TYPE_CHECKING:
    from jpipe.history.last_run import History

__all__ = ["command"]

_MOST_ITEMS = 50
"""Items that are printed for people; JSON has them all."""


@click.command("show")
@flags.PLACE
@click.option("--item", "items", multiple=True, metavar="N", help="Only this item: 7, 0-4 or 3,9,12.")
@flags.settings("cache_dir")
@flags.JSON
def command(words: tuple[str, ...], items: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Print what a step gave in the last run: one value, or one for each of its items."""
    call = invocation(words, flags.flags_of(options))
    if len(call.steps) != 1:
        raise UsageError("name the one step to show", hint="jpipe show STEP")
    values = _chosen(_values(call, call.steps[0]), items_of(items), call.steps[0])
    if as_json:
        plain = [_plain(value) for value in values.values()]
        click.echo(json.dumps(plain[0] if len(values) == 1 else plain, indent=2))
        return ExitCode.OK
    for number, value in list(values.items())[:_MOST_ITEMS]:
        text = value_text(value, call.out.width)
        label = f"{call.steps[0]}[{number}]"
        click.echo(text if len(values) == 1 else f"{label}\n{text}" if "\n" in text else f"{label} {text}")
    if len(values) > _MOST_ITEMS:
        left = counted(len(values) - _MOST_ITEMS, "more item")
        call.err.write(line(dim(f"and {left}: --item N shows one, --json all")))
    return ExitCode.OK


def _values(call: Invocation, step: str) -> list[Any]:
    folder = call.cache_dir
    if not folder.exists():
        raise CacheMiss(f"there is no cache {folder} yet", hint=f"run the pipeline first: {call.commands.text('run')}")
    # Results that hold instances of the user's classes name the modules beside the pipeline file.
    sys.path.insert(0, str(Path(call.file).resolve().parent))
    from jpipe.decide.stored_results import results_of
    from jpipe.history.last_run import History
    from jpipe.store import Store

    store = Store.open(folder, create=False)
    known = _steps_of(History(store))
    if step not in known:
        near = nearest(step, known)
        hint = f"did you mean {near}?" if near else f"it has those of {', '.join(known) or 'none'}"
        if not known and store.foreign()[0]:
            hint = foreign_text(store.foreign()[1])
        raise CacheMiss(f"the cache has no result of a step {step!r}", hint=hint)
    return results_of(store, step)


def _steps_of(history: History) -> list[str]:
    return list(dict.fromkeys(step for run in history.last_runs() for step in run.calls))


def _chosen(values: list[Any], items: tuple[int, ...], step: str) -> dict[int, Any]:
    if not items:
        return dict(enumerate(values))
    missing = [item for item in items if not 0 <= item < len(values)]
    if missing:
        known = counted(len(values), "item")
        raise NothingSelectedError(f"{step} has {known}, counted from 0: there is no item {missing[0]}")
    return {item: values[item] for item in items}


def _plain(value: Any) -> Any:
    """A value as JSON has it; what it does not have (tables, arrays, dates) in the nearest form.

    Raises
    ------
    UsageError
        For a value that has no such form.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    for method, arguments in (("to_dicts", ()), ("to_dict", ("records",)), ("tolist", ()), ("isoformat", ())):
        convert = getattr(value, method, None)
        if callable(convert):
            return _plain(_converted(convert, arguments))
    fields = getattr(value, "__dataclass_fields__", None)
    if fields is not None:
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, Path):
        return str(value)
    hint = "show it without --json, or use jpipe.load"
    raise UsageError(f"{type(value).__name__} cannot be written as JSON", hint=hint)


def _converted(convert: Any, arguments: tuple[Any, ...]) -> Any:
    try:
        return convert(*arguments)
    except TypeError:
        return convert()
