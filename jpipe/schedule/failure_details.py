"""Say everything that is known of a failed item: which one, with what, and where from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.item_labels import SCALARS, element_of, label_of, position_of
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.layout import Output, needs_of
from jpipe.model.events import Failure
from jpipe.model.value_summary import summary_of
from jpipe.system.error_record import ErrorRecord
from jpipe.system.memory import machine_memory

__all__ = ["Origins", "failure_of"]


class Origins:
    """Says which parameter of the pipeline an argument came from, where that is plain.

    Parameters
    ----------
    pipeline
        Its name.
    parameters
        By name, what it was called with, defaults included.
    """

    def __init__(self, pipeline: str, parameters: Mapping[str, Any]) -> None:
        self._pipeline = pipeline
        self._parameters = parameters

    def of(self, name: str, value: Any) -> str:
        """``main(Cs)`` for an argument `name` of an item; "" where no parameter, or more than one, can be meant."""
        found = [one for one, given in self._parameters.items() if _is_from(value, given)]
        if len(found) > 1:
            found = [one for one in found if one.lower().startswith(name.lower())]
        plain = len(found) == 1 and (found[0].lower().startswith(name.lower()) or type(value) not in (int, bool))
        return f"{self._pipeline}({found[0]})" if plain else ""


def _is_from(value: Any, given: Any) -> bool:
    """Whether an argument is a parameter, or one of the elements of one."""
    if type(value) in SCALARS:
        elements = [given, *given] if isinstance(given, (list, tuple, range)) else [given]
        return value is not None and any(type(one) is type(value) and one == value for one in elements)
    return value is given or (isinstance(given, (list, tuple)) and any(one is value for one in given))


def failure_of(
    pipeline_state: PipelineState,
    origins: Origins,
    state: CallState,
    index: int,
    error: ErrorRecord,
    *,
    seconds: float,
    worker: int,
    output: str,
    attempts: int,
    peak_memory: int,
    detail: str,
) -> Failure:
    """What is said of an item that failed."""
    item, items = position_of(pipeline_state, state, index)
    return Failure(
        step=state.call.step.name,
        label=label_of(state, index),
        item=item,
        items=items,
        kind=error.kind,
        error_type=error.error_type,
        message=error.message,
        traceback=error.traceback,
        frames=error.frames,
        arguments=tuple(_argument(pipeline_state, origins, state, name, index) for name in state.call.arguments),
        seconds=seconds,
        worker=worker,
        output=output,
        attempts=attempts,
        peak_memory=peak_memory,
        detail=detail,
        causes=error.causes,
        machine_memory=machine_memory(),
        folder=os.getcwd(),
    )


def _argument(
    pipeline_state: PipelineState, origins: Origins, state: CallState, name: str, index: int
) -> tuple[str, str, str]:
    element = element_of(state.call, name, state.call.arguments[name], index)
    if type(element) is not Output:
        needs = list(needs_of(element))
        if needs:
            return name, f"{type(element).__name__} of {len(needs)} results", ""
        return name, summary_of(element), origins.of(name, element)
    if name in state.call.over and type(state.call.arguments[name]) is Output:
        element = element[index]
    return name, _summary_of_output(pipeline_state, element), _origin(pipeline_state, element)


def _origin(pipeline_state: PipelineState, output: Output) -> str:
    state = pipeline_state.states[output.call.number]
    if state.call.is_mapped:
        return (
            label_of(state, output.path[0]) if output.path and isinstance(output.path[0], int) else state.call.step.name
        )
    return label_of(state, 0) + "".join(f"[{key!r}]" for key in output.path)


def _summary_of_output(pipeline_state: PipelineState, output: Output) -> str:
    state = pipeline_state.states[output.call.number]
    try:
        places, path = pipeline_state.results.place_of(output)
        if path is None:
            return f"list of {len(places)} results"
        value = pipeline_state.lookup.store.load(places[0])
        for key in path:
            value = value[key]
    except Exception:
        done = all(status in (Status.CACHED, Status.RAN) for status in state.status)
        return "a result that cannot be read" if done else "a result"
    return summary_of(value)
