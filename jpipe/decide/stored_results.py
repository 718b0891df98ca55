"""Results from the cache, without running anything: `load`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from jpipe.decide.call_state import CallState
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.record_lookup import item_count, unpack_keys
from jpipe.decide.session import open_store
from jpipe.define.layout import Layout, Output
from jpipe.define.step import Step
from jpipe.errors import CacheMiss
from jpipe.files import FileDigests
from jpipe.fingerprint import Fingerprinter
from jpipe.history.acceptance import accepted_families
from jpipe.history.last_run import EarlierCall, History
from jpipe.store import MissingEntry, Store
from jpipe.system.project import default_cache_dir, find_root

__all__ = ["load", "place_of_item", "results_of"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def load(step: Step[..., Any] | str, /, *, cache_dir: str | Path | None = None) -> Any: ...
@overload
def load(step: Step[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def load(step: Step[..., R], /, *args: Any, cache_dir: str | Path, **kwargs: Any) -> R: ...
def load(step: Any, /, *args: Any, cache_dir: str | Path | None = None, **kwargs: Any) -> Any:  # type: ignore[misc]
    """A result from the cache, without running anything.

    Parameters
    ----------
    step
        A step, with the arguments of a call: the result of that call. Or a step (or its name) alone: what its calls
        gave in the last run, one value where there was one call, else a list.
    *args, **kwargs
        The arguments of the call.
    cache_dir
        The cache. Default: ``cache`` in the project of the step's file, or of the current folder for a name.

    Raises
    ------
    CacheMiss
        When the result is not in the cache.
    """
    name = step if isinstance(step, str) else step.name
    store = open_store(_cache_of(step, cache_dir), create=False)
    if args or kwargs:
        if isinstance(step, str):
            raise CacheMiss("arguments need the step itself, not its name", hint=f"jpipe.load({name}, …)")
        return _loaded_call(store, step, args, kwargs)
    values = results_of(store, name)
    return values[0] if len(values) == 1 else values


def results_of(store: Store, name: str) -> list[Any]:
    """What the items of a step gave in the last run that it took part in.

    Raises
    ------
    CacheMiss
        When there is none, or one is gone.
    """
    calls = _last_calls(store, name)
    if not calls:
        raise CacheMiss(f"the cache has no result of {name}", hint="run the pipeline first: jpipe run")
    values: list[Any] = []
    for call in calls:
        values += _values(store, name, call)
    return values


def _values(store: Store, name: str, call: EarlierCall) -> list[Any]:
    family = store.family(call.family)
    records = family.find(call.key)
    if not records:
        raise CacheMiss(f"a result of {name} is not in the cache any more", hint="run the pipeline again: jpipe run")
    try:
        if item_count(records[0]) is None:
            return [store.load(records[0].where)]
        keys = unpack_keys(store.load(records[0].where))
        return store.load_many(found[0].where for found in family.find_many(keys))
    except (MissingEntry, IndexError):
        raise CacheMiss(f"a result of {name} is damaged or gone", hint="run the pipeline again: jpipe run") from None


def _last_calls(store: Store, name: str) -> list[EarlierCall]:
    history = History(store)
    runs = [run for run in history.last_runs() if run.calls.get(name)]
    calls = max(runs, key=lambda run: run.when).calls[name] if runs else []
    return [call for call in calls if call.has_result] or list(calls)


def _loaded_call(store: Store, step: Step[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    layout = Layout()
    layout.call(step, args, dict(kwargs))
    root = store.root.parent
    fingerprinter = Fingerprinter(find_root(root), store.parsed, key=store.disk.key.secret)
    declared = step.declared
    fingerprint = fingerprinter.of(
        step.function, version=declared.version, depends=declared.depends, env=declared.env, packages=declared.packages
    )
    pipeline_state = PipelineState(
        layout,
        [0],
        store=store,
        fingerprints=lambda _: fingerprint,
        fingerprinter=fingerprinter,
        files=FileDigests(root),
        now=time.time(),
        accepted=accepted_families(store),
    )
    pipeline_state.begin()
    if not pipeline_state.states[0].is_done:
        raise CacheMiss(
            f"the cache has no result of this call of {step.name}", hint="run the pipeline first: jpipe run"
        )
    try:
        return store.load(place_of_item(pipeline_state, pipeline_state.states[0], 0), mmap_mode=declared.mmap_mode)
    except MissingEntry:
        raise CacheMiss(
            f"the result of this call of {step.name} is damaged or gone", hint="run the pipeline again"
        ) from None


def _cache_of(step: Step[..., Any] | str, cache_dir: str | Path | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir)
    code = getattr(getattr(step, "function", None), "__code__", None)
    file = Path(code.co_filename) if code is not None else Path.cwd()
    return default_cache_dir(find_root(file if file.exists() else Path.cwd()))


def place_of_item(pipeline_state: PipelineState, state: CallState, index: int) -> Any:
    """Where the result of an item is."""
    output = Output(pipeline_state.layout, state.call)
    return pipeline_state.place_of(output[index] if state.call.is_mapped else output)[0][0]
