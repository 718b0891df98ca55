"""Labels and numbers of items: the arguments that distinguish an item, and its position in its step."""

from __future__ import annotations

from typing import Any

from jpipe.decide.call_state import CallState
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.layout import Call, Output

__all__ = ["element_of", "label_of", "position_of"]

SCALARS = (int, float, str, bool, type(None))


def label_of(state: CallState, index: int) -> str:
    """The label of an item: ``score[k=32, C=1.0]``, or ``resize[17]``."""
    if index not in state.labels:
        state.name_item(index, _label(state.call, index))
    return state.labels[index]


def _label(call: Call, index: int) -> str:
    own = _scalars(call, index)
    if not own and call.is_mapped:
        own = {"": str(index)}
    inside = ", ".join(f"{name}={value}" if name else value for name, value in own.items())
    return f"{call.step.name}[{inside}]" if inside else call.step.name


def _scalars(call: Call, index: int, depth: int = 3) -> dict[str, str]:
    """The scalar arguments of an item, and those of the items whose results it takes."""
    found: dict[str, str] = {}
    for name, value in call.arguments.items():
        if call.is_mapped and name not in call.over:
            continue  # all items have it
        element = element_of(call, name, value, index)
        if type(element) is Output:
            for upstream, text in _scalars_behind(element, index if name in call.over else None, depth).items():
                found.setdefault(upstream, text)
        elif type(element) in SCALARS and len(repr(element)) <= 30:
            found[name] = repr(element)
    return found


def _scalars_behind(output: Output, index: int | None, depth: int) -> dict[str, str]:
    """The scalar arguments of the item that gave an output; `index` is its number where maps are chained."""
    if not depth:
        return {}
    if not output.call.is_mapped:
        return _scalars(output.call, 0, depth - 1) if index is None else {}
    if output.path:
        index = output.path[0] if isinstance(output.path[0], int) else None
    return _scalars(output.call, index, depth - 1) if index is not None else {}


def element_of(call: Call, name: str, value: Any, index: int) -> Any:
    """The argument of an item; the whole output where the call is mapped over one."""
    if name not in call.over or type(value) is Output:
        return value
    return value[index] if index < len(value) else None


def position_of(pipeline_state: PipelineState, state: CallState, index: int) -> tuple[int, int]:
    """The number of an item among all items of its step, and how many there are."""
    return pipeline_state.numbers.first_of(state) + index, pipeline_state.numbers.count_of_step(state.call.step.name)
