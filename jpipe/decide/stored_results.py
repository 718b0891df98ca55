"""Values from the cache, without running anything: `load`, and what a run gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, overload

from jpipe.decide.call_state import CallState
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.record_lookup import item_count, unpack_keys
from jpipe.decide.result_digests import unreadable
from jpipe.decide.session import Session
from jpipe.define.layout import Layout, Output
from jpipe.define.return_value import filled
from jpipe.define.step import Step
from jpipe.errors import CacheMiss
from jpipe.history.last_run import EarlierCall, History
from jpipe.store import MissingEntry, Record, Store, UnreadableEntry
from jpipe.system.project import default_cache_dir, is_marked

__all__ = ["load", "load_result", "load_step", "place_of_item", "results_of"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def load(step: Step[..., Any] | str, /, *, cache_dir: str | Path | None = None) -> Any: ...
@overload
def load(
    step: str, /, *, cache_dir: str | Path | None = None, run: str | int | None = None, **parameters: Any
) -> Any: ...
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
        gave in the last run, one value where there was one call, else a list. With a name, keywords choose the items
        with these parameters, and ``run`` the run: its number or name in ``jpipe history``, -1 for the last.
    *args, **kwargs
        The arguments of the call.
    cache_dir
        The cache. Default: that of the project of the step's file, or of the current folder for a name, as the settings
        say.

    Raises
    ------
    CacheMiss
        When the result is not in the cache.
    CacheFolderError
        When there is no cache.

    Examples
    --------
    >>> import jpipe
    >>> from jpipe import pipeline, step
    >>> @step
    ... def square(n: int) -> int:
    ...     return n * n
    >>> @pipeline
    ... def main() -> list[int]:
    ...     return [square(n) for n in range(4)]
    >>> main.run(n_jobs=1)
    [0, 1, 4, 9]
    >>> jpipe.load(square, 3), jpipe.load("square"), jpipe.load("square", n=2)
    (9, [0, 1, 4, 9], 4)
    """
    name = step if isinstance(step, str) else step.name
    session = Session(_place_of(step, cache_dir), cache_dir, create=False)
    if args or kwargs:
        if isinstance(step, str) and not args:
            return _one_or_all(_of_run(session.store, name, kwargs.pop("run", None), kwargs))
        if isinstance(step, str):
            raise CacheMiss("arguments need the step itself, not its name", hint=f"jpipe.load({name}, …)")
        layout = Layout()
        layout.call(step, args, kwargs)
        return _loaded_call(session, layout)
    return _one_or_all(results_of(session.store, name))


def _one_or_all(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _of_run(store: Store, name: str, run: str | int | None, parameters: Mapping[str, Any]) -> list[Any]:
    """What the items of a step with these parameters gave in a run, default the last that had the step."""
    # Here, because every run imports this module and only this reads journals.
    from jpipe.decide.run_results import log_with_results, results_in_run
    from jpipe.history.journal_reader import find_run, runs
    from jpipe.history.run_index import journal_folder

    folder = journal_folder(store.root)
    rows = runs(folder)
    for row in [find_run(rows, str(run))] if run is not None else reversed(rows):
        log = log_with_results(folder, rows, row)
        if name in log.filed:
            items = [item for item in results_in_run(store, log, name) if _is_labelled(item.label, parameters)]
            if not items:
                known = ", ".join(item.label for item in results_in_run(store, log, name)[:6])
                raise CacheMiss(f"run #{row.number} has no such item of {name}", hint=f"it has {known}")
            if any(item.where is None for item in items):
                raise CacheMiss(f"a result of {name} is not in the cache any more", hint="run the pipeline again")
            return store.load_many(item.where for item in items if item.where is not None)
    raise CacheMiss(f"no run that is kept has results of {name}", hint="jpipe history  lists the runs")


def _is_labelled(label: str, parameters: Mapping[str, Any]) -> bool:
    """Whether the label of an item names all of these parameters with these values."""
    inside = f", {label.partition('[')[2].removesuffix(']')}, "
    return all(f", {name}={value!r}, " in inside for name, value in parameters.items())


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
        # Newest first; there are several where the files that were read have been others.
        record = next((one for one in records if one.content == call.content), records[0])
        if item_count(record) is None:
            return [store.load(record.where)]
        items = family.find_many(unpack_keys(store.load(record.where)))
        return store.load_many(_item_of(record, found).where for found in items)
    except (MissingEntry, IndexError):
        raise CacheMiss(f"a result of {name} is damaged or gone", hint="run the pipeline again: jpipe run") from None


def _item_of(whole: Record, items: Sequence[Record]) -> Record:
    """Of the records of one item the one that a mapped call as a whole holds: what it read, the whole has read."""
    for item in items:
        if set(item.reads) <= set(whole.reads):
            return item
    return items[0]


def _last_calls(store: Store, name: str) -> list[EarlierCall]:
    history = History(store)
    runs = [run for run in history.last_runs() if run.calls.get(name)]
    calls = max(runs, key=lambda run: run.when).calls[name] if runs else []
    return [call for call in calls if call.has_result] or list(calls)


def _loaded_call(session: Session, layout: Layout) -> Any:
    """The result of the only call of a layout."""
    pipeline_state = session.state_of(layout)
    pipeline_state.begin()
    state = pipeline_state.states[0]
    name = state.call.step.name
    if not state.is_done:
        raise CacheMiss(f"the cache has no result of this call of {name}", hint="run the pipeline first: jpipe run")
    try:
        place = place_of_item(pipeline_state, state, 0)
        return session.store.load(place, mmap_mode=state.call.step.declared.mmap_mode)
    except MissingEntry:
        raise CacheMiss(
            f"the result of this call of {name} is damaged or gone", hint="run the pipeline again"
        ) from None


def _place_of(step: Step[..., Any] | str, cache_dir: str | Path | None) -> Path:
    """The project to look in: that of the cache where it lies in one, else that of the step."""
    if cache_dir is not None:
        # The step may be defined in a package of another project than the pipeline that ran it.
        folder = Path(cache_dir).expanduser().resolve()
        if is_marked(folder.parent) and folder == default_cache_dir(folder.parent):
            return folder.parent
    code = getattr(getattr(step, "function", None), "__code__", None)
    return Path(code.co_filename) if code is not None else Path.cwd()


def place_of_item(pipeline_state: PipelineState, state: CallState, index: int) -> Any:
    """Where the result of an item is."""
    output = Output(pipeline_state.layout, state.call)
    return pipeline_state.results.place_of(output[index] if state.call.is_mapped else output)[0][0]


def load_result(result: Any, pipeline_state: PipelineState) -> Any:
    """What a pipeline function returned, with every output replaced by its value."""
    return filled(result, lambda output: _load_output(pipeline_state, output))


def load_step(pipeline_state: PipelineState, step: str) -> list[Any]:
    """The values of all items of a step.

    Raises
    ------
    CacheMiss
        When one has no result, or it cannot be loaded.
    """
    values: list[Any] = []
    for state in pipeline_state.states.values():
        if state.call.step.name == step:
            values += _load_call(pipeline_state, state)
    return values


def _load_call(pipeline_state: PipelineState, state: CallState) -> list[Any]:
    step = state.call.step.name
    if not state.is_done:
        raise CacheMiss(f"not all items of {step} have a result", hint="Run.failures says what failed")
    try:
        value = _load_output(pipeline_state, Output(pipeline_state.layout, state.call))
    except MissingEntry as error:
        raise CacheMiss(f"a result of {step} is damaged or gone", hint="run the pipeline again") from error
    return value if state.call.is_mapped else [value]


def _load_output(pipeline_state: PipelineState, output: Output) -> Any:
    """The value of an output whose call is done."""
    places, path = pipeline_state.results.place_of(output)
    mode = output.call.step.declared.mmap_mode
    try:
        if path is None:
            return pipeline_state.lookup.store.load_many(places, mmap_mode=mode)
        value = pipeline_state.lookup.store.load(places[0], mmap_mode=mode)
    except UnreadableEntry as error:
        raise unreadable(output, error) from error
    for key in path:
        value = value[key]
    return value
