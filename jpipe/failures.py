"""Say everything that is known of a failed item: which one, with what, and where from."""

from __future__ import annotations

from typing import Any

from jpipe.callstate import CallState, Status
from jpipe.events import Failure
from jpipe.layout import Output, needs_of
from jpipe.ledger import Ledger
from jpipe.memory import machine_memory
from jpipe.trace import ErrorRecord

__all__ = ["failure_of", "label_of", "summary_of"]

_SCALARS = (int, float, str, bool, type(None))
WIDTH = 60


def label_of(state: CallState, index: int) -> str:
    """An item as people tell it from others: ``score[k=32, C=1.0]``, or ``resize[17]``."""
    own = _scalars(state, index)
    if not own and (state.call.is_mapped):
        own = {"": str(index)}
    inside = ", ".join(f"{name}={value}" if name else value for name, value in own.items())
    return f"{state.call.step.name}[{inside}]" if inside else state.call.step.name


def _scalars(state: CallState, index: int, depth: int = 3) -> dict[str, str]:
    """The scalar arguments of an item, and of the items whose results it takes."""
    found: dict[str, str] = {}
    for name, value in state.call.arguments.items():
        element = _element(state, name, value, index)
        if type(element) is Output:
            if depth and not element.call.is_mapped:
                for upstream, text in _scalars_of_call(element.call, depth - 1).items():
                    found.setdefault(upstream, text)
        elif type(element) in _SCALARS and len(repr(element)) <= 30:
            found[name] = repr(element)
    return found


def _scalars_of_call(call: Any, depth: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in call.arguments.items():
        if type(value) is Output:
            if depth and not value.call.is_mapped:
                found.update(_scalars_of_call(value.call, depth - 1))
        elif name not in call.over and type(value) in _SCALARS and len(repr(value)) <= 30:
            found[name] = repr(value)
    return found


def _element(state: CallState, name: str, value: Any, index: int) -> Any:
    if name not in state.call.over:
        return value
    if type(value) is Output:
        return value
    return value[index] if index < len(value) else None


def position_of(ledger: Ledger, state: CallState, index: int) -> tuple[int, int]:
    """Where an item stands among all items of its step, and how many there are."""
    return ledger.first_item(state) + index, ledger.items_of(state.call.step.name)


def failure_of(
    ledger: Ledger,
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
    item, items = position_of(ledger, state, index)
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
        arguments=tuple(_argument(ledger, state, name, index) for name in state.call.arguments),
        seconds=seconds,
        worker=worker,
        output=output,
        attempts=attempts,
        peak_memory=peak_memory,
        detail=detail,
        causes=error.causes,
        machine_memory=machine_memory(),
    )


def _argument(ledger: Ledger, state: CallState, name: str, index: int) -> tuple[str, str, str]:
    element = _element(state, name, state.call.arguments[name], index)
    if type(element) is not Output:
        needs = list(needs_of(element))
        return name, summary_of(element) if not needs else f"{type(element).__name__} of {len(needs)} results", ""
    if name in state.call.over and type(state.call.arguments[name]) is Output:
        element = element[index]
    return name, _summary_of_output(ledger, element), _origin(ledger, element)


def _origin(ledger: Ledger, output: Output) -> str:
    state = ledger.states[output.call.number]
    if state.call.is_mapped:
        return (
            label_of(state, output.path[0]) if output.path and isinstance(output.path[0], int) else state.call.step.name
        )
    return label_of(state, 0) + "".join(f"[{key!r}]" for key in output.path)


def _summary_of_output(ledger: Ledger, output: Output) -> str:
    state = ledger.states[output.call.number]
    try:
        places, path = ledger.place_of(output)
        if path is None:
            return f"list of {len(places)} results"
        value = ledger.store.load(places[0])
        for key in path:
            value = value[key]
    except Exception:
        done = all(status in (Status.CACHED, Status.RAN) for status in state.status)
        return "a result that cannot be read" if done else "a result"
    return summary_of(value)


def summary_of(value: Any) -> str:
    """A value in a few words: type, shape and size of arrays and tables, the value itself where it is short."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        kind = type(value).__name__.replace("memmap", "ndarray")
        dtype = getattr(value, "dtype", None)
        size = getattr(value, "nbytes", None)
        text = f"{kind} {shape}" + (f" {dtype}" if dtype is not None else "")
        return text + (f", {_sized(size)}" if isinstance(size, int) else "")
    try:
        text = repr(value)
    except Exception as error:
        return f"{type(value).__name__} (its repr raises {type(error).__name__})"
    if len(text) <= WIDTH:
        return text
    if isinstance(value, (list, tuple, dict, set, frozenset, str, bytes)):
        return f"{type(value).__name__} of {len(value)}: {text[: WIDTH - 1]}…"
    return f"{type(value).__name__}: {text[: WIDTH - 1]}…"


def _sized(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= 1000
    return ""
