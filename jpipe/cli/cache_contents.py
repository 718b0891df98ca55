"""What is in the cache that a command is about, by step."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import Invocation, invocation
from jpipe.errors import CacheMiss, UsageError

if TYPE_CHECKING:
    from jpipe.store import Store

__all__ = ["by_step", "families_of", "on_cache", "open_cache"]


def on_cache(function: Callable[..., int]) -> Callable[..., int]:
    """Hand a command of ``jpipe cache`` what it is about: the options that say so may also stand behind its name."""

    @flags.settings("cache_dir")
    @click.pass_context
    @functools.wraps(function)
    def called(context: click.Context, /, *arguments: Any, **options: Any) -> int:
        before = context.obj or {}
        own = flags.flags_of(options)
        meant = {name: before.get(name) if value is None else value for name, value in own.items()}
        others = {name: value for name, value in options.items() if name not in own}
        return function(invocation((), meant), *arguments, **others)

    return called


def open_cache(call: Invocation) -> Store:
    """The cache, which has to be there."""
    folder = call.cache_dir
    if not Path(folder).exists():
        raise CacheMiss(f"there is no cache {os.path.relpath(folder)} yet", hint="the first run of a pipeline makes it")
    return call.open_cache()


def by_step(store: Store) -> dict[str, tuple[int, int, float]]:
    """(results, bytes, last used) by step name, largest first; under "" what no known step has."""
    from jpipe.history.last_run import History

    history = History(store)
    names = dict.fromkeys(step for run in history.last_runs() for step in run.calls)
    owner = {family: step for step in names for family in history.families(step)}
    results: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    used: dict[str, float] = {}
    for family, use in store.families().items():
        step = owner.get(family, "")
        results[step] += use.records
        nbytes[step] += use.nbytes
        used[step] = max(used.get(step, 0.0), use.used)
    return {step: (results[step], nbytes[step], used[step]) for step, _ in nbytes.most_common()}


def families_of(store: Store, step: str) -> list[bytes]:
    """The fingerprints that a step had, which the cache has to know."""
    from jpipe.history.last_run import History

    families = History(store).families(step)
    if not families:
        known = ", ".join(step for step in by_step(store) if step)
        raise UsageError(f"the cache has no results of a step {step!r}", hint=f"it has those of {known or 'none'}")
    return families
