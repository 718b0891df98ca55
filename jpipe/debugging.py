"""One item of a step with its real inputs, ready to be called in this process, also under a debugger."""

from __future__ import annotations

import asyncio
import bdb
import importlib
import os
import pdb
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.item_labels import label_of
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.loader import load
from jpipe.define.parameter_files import read_parameters
from jpipe.define.parameters import given
from jpipe.define.pipeline import Pipeline
from jpipe.define.step import Step
from jpipe.errors import NothingSelectedError, UsageError
from jpipe.schedule.chunks import ChunkBuilder, StepQueue
from jpipe.settings import settings_for
from jpipe.store import MissingEntry
from jpipe.system.error_record import ErrorRecord, record_error
from jpipe.system.ownership import is_jpipe_file
from jpipe.worker.run_item import inputs_of
from jpipe.worker.seeds import seeded
from jpipe.worker.value_references import ValueSource, loaded_with

__all__ = ["Debugged", "PreparedItem", "debug", "load_item", "prepare_item"]


@dataclass(frozen=True, slots=True)
class PreparedItem:
    """An item that can be called.

    Parameters
    ----------
    step
        The step.
    item, items
        The item's number among all items of the step, from 0, and how many there are.
    label
        The item as people tell it from others.
    arguments
        By parameter, the values that a run would give it.
    item_seed
        What generators of random numbers are seeded with.
    """

    step: Step[..., Any]
    item: int
    items: int
    label: str
    arguments: Mapping[str, Any]
    item_seed: int

    @property
    def function(self) -> Callable[..., Any]:
        """The function of the step."""
        function: Callable[..., Any] = self.step.function
        return function

    def spread(self) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for the function."""
        return self.step.spread(self.arguments)

    def seed(self) -> None:
        """Seed `random` and `numpy.random` as a run does."""
        seeded(self.item_seed)


def load_item(
    file: str | Path,
    step: str,
    item: int,
    *,
    pipeline: str | None = None,
    sets: Mapping[str, str] | None = None,
    params: Sequence[str | Path] = (),
    profile: str | None = None,
    cache_dir: str | Path | None = None,
) -> tuple[Callable[..., Any], list[Any], dict[str, Any]]:
    """The function of a step and the arguments of one of its items: what ``jpipe debug --script`` writes uses it.

    Parameters
    ----------
    file, pipeline
        The pipeline file, and which pipeline where it defines several.
    step, item
        Which item of which step, from 0.
    sets
        Parameters of the pipeline as text, as ``--set`` takes them.
    params, profile
        Files with parameters, and a profile of pyproject.toml, as ``--params`` and ``--profile``.
    cache_dir
        The cache. Default: ``cache`` in the project of the file.

    Returns
    -------
    function, args, kwargs
        `random` and `numpy.random` are seeded for the item.

    Raises
    ------
    UsageError, PipelineLoadError, WiringError
        As a run would.
    NothingSelectedError
        When there is no such item.
    """
    found = load(file, pipeline)
    values = dict(settings_for(Path(file).parent, profile=profile).parameters)
    for one in params:
        values |= read_parameters(one)
    parameters = given(found, values, dict(sets or {}))
    prepared = prepare_item(found, parameters, step, item, cache_dir)
    prepared.seed()
    args, kwargs = prepared.spread()
    return prepared.function, args, kwargs


def prepare_item(
    pipeline: Pipeline[..., Any],
    parameters: Mapping[str, Any],
    step: str,
    item: int | None,
    cache_dir: str | Path | None = None,
) -> PreparedItem:
    """An item with its inputs from the cache.

    Parameters
    ----------
    item
        Its number among all items of the step, from 0. None: the only one, else the first that failed in the last run.

    Raises
    ------
    UsageError
        When the pipeline has no such step, its inputs are not in the cache, or nothing says which item is meant.
    NothingSelectedError
        When there is no such item.
    """
    session = PipelineSession(pipeline, parameters, cache_dir)
    # Forced: what a call gives as a whole would say nothing of its items' arguments.
    pipeline_state = session.state([step], forced=[step])
    pipeline_state.begin()
    states = [state for state in pipeline_state.states.values() if state.call.step.name == step]
    total = pipeline_state.numbers.count_of_step(step)
    number = _failed_item(session, pipeline_state, states, total, step) if item is None else item
    state, index = _located(pipeline_state, states, number, total, step)
    arguments, item_seed = _arguments(session, pipeline_state, state, index)
    return PreparedItem(state.call.step, number, total, label_of(state, index), arguments, item_seed)


def _failed_item(
    session: PipelineSession, pipeline_state: PipelineState, states: Iterable[CallState], total: int, step: str
) -> int:
    if total == 1:
        return 0
    for state in states:
        for index, key in enumerate(state.keys):
            if key in session.last_run.failed:
                return pipeline_state.numbers.first_of(state) + index
    raise UsageError(f"{step} has {total} items: say which", hint=f"--item 0 to --item {total - 1}")


def _located(
    pipeline_state: PipelineState, states: Iterable[CallState], number: int, total: int, step: str
) -> tuple[CallState, int]:
    for state in states:
        index = number - pipeline_state.numbers.first_of(state)
        if state.count is None and index >= 0:
            raise _without_inputs(pipeline_state, state)
        if state.count is not None and 0 <= index < state.count:
            if state.status[index] == Status.WAITING:
                raise _without_inputs(pipeline_state, state)
            return state, index
    raise NothingSelectedError(f"{step} has no item {number}", hint=f"it has {total}, counted from 0")


def _without_inputs(pipeline_state: PipelineState, state: CallState) -> UsageError:
    missing = [
        pipeline_state.states[number] for number in state.call.needs if not pipeline_state.states[number].is_done
    ]
    names = list(dict.fromkeys(other.call.step.name for other in missing))
    return UsageError(
        f"what {state.call.step.name} takes is not in the cache", hint=f"run it first: jpipe run {' '.join(names)}"
    )


def _arguments(
    session: PipelineSession, pipeline_state: PipelineState, state: CallState, index: int
) -> tuple[dict[str, Any], int]:
    """The arguments of an item, and its seed."""
    builder = ChunkBuilder(session, pipeline_state)
    step = state.call.step
    work = builder.build(StepQueue(step), [(state, index)]).work
    try:
        source = ValueSource(session.store, step.declared.mmap_mode)
        with loaded_with(source):
            inputs = inputs_of(work, work.items[0], source)
        return inputs, work.items[0].seed
    except MissingEntry as error:
        raise UsageError(
            f"an input of {label_of(state, index)} is damaged or gone: {error}", hint="jpipe run computes it again"
        ) from None


class Debugged:
    """What became of an item under the debugger: its `value`, or the `error` that it raised; none where it was left."""

    def __init__(self, value: Any = None, error: ErrorRecord | None = None, *, was_left: bool = False) -> None:
        self.value = value
        self.error = error
        self.was_left = was_left


class _Tracer(pdb.Pdb):
    """pdb, which tells whether it was left before the function returned."""

    was_left = False

    def set_quit(self) -> None:
        self.was_left = True
        super().set_quit()


def debug(item: PreparedItem, *, trace: bool = False) -> Debugged:
    """Call an item in this process, with nothing captured; where it raises, open the debugger there.

    Parameters
    ----------
    trace
        Stop at the function's first line.

    Notes
    -----
    ``PYTHONBREAKPOINT`` chooses the debugger, as for ``breakpoint()``: ``ipdb.set_trace`` means ipdb, ``0`` none.
    """
    debugger = _chosen(os.environ.get("PYTHONBREAKPOINT", ""))
    args, kwargs = item.spread()
    item.seed()
    try:
        value = _traced(debugger, item.function, args, kwargs) if trace else item.function(*args, **kwargs)
        return Debugged(asyncio.run(_waited(value)) if hasattr(value, "__await__") else value)
    except bdb.BdbQuit:
        return Debugged(was_left=True)
    except Exception as error:
        record = record_error(error)
        sys.stderr.write(record.traceback)
        if debugger is not None:
            _post_mortem(debugger, error, record)
        return Debugged(error=record)


async def _waited(value: Any) -> Any:
    return await value


def _chosen(name: str) -> ModuleType | None:
    """The debugger that PYTHONBREAKPOINT means."""
    if name == "0":
        return None
    module = name.rpartition(".")[0]
    if module:
        try:
            found = importlib.import_module(module)
        except ImportError:
            sys.stderr.write(f"PYTHONBREAKPOINT={name} cannot be imported: pdb is used\n")
            return pdb
        if hasattr(found, "post_mortem"):
            return found
    return pdb


def _traced(debugger: ModuleType | None, function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    runcall = getattr(debugger, "runcall", None)
    if debugger is not pdb and runcall is not None:
        return runcall(function, *args, **kwargs)
    opened = _Tracer()
    value = opened.runcall(function, *args, **kwargs)
    if opened.was_left:
        raise bdb.BdbQuit
    return value


def _post_mortem(debugger: ModuleType, error: BaseException, record: ErrorRecord) -> None:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None and is_jpipe_file(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    if debugger is pdb:
        _opened_at_users_line(tb, record)
    else:
        debugger.post_mortem(tb)


def _opened_at_users_line(tb: TracebackType | None, record: ErrorRecord) -> None:
    """pdb, at the innermost frame of the user's own code: the raise itself is often deep in a library."""
    below = 0
    for frame in reversed(record.frames):
        if frame[3]:
            break
        below += 1
    opened = pdb.Pdb()
    if 0 < below < len(record.frames):
        opened.rcLines.append(f"up {below}")
    opened.reset()
    opened.interaction(None, tb)
