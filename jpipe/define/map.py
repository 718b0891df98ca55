"""`jpipe.map`: a mapped call inside a pipeline, a parallel map with a bar outside of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

from jpipe.define.layout import Layout
from jpipe.define.step import Step, recorder
from jpipe.errors import UsageError
from jpipe.model.step_options import StepOptions

__all__ = ["map"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
R = TypeVar("R")
P = ParamSpec("P")


# Type checkers try them from the top. What is left of the parameters are constants, which are given by name; no form
# with more lists may come after one with fewer, which would take the lists for constants.
@overload
def map(
    func: Callable[Concatenate[A, B, C, D, P], R],
    items: Iterable[A],
    second: Iterable[B],
    third: Iterable[C],
    fourth: Iterable[D],
    /,
    *none: P.args,
    **constants: P.kwargs,
) -> list[R]: ...
@overload
def map(
    func: Callable[Concatenate[A, B, C, P], R],
    items: Iterable[A],
    second: Iterable[B],
    third: Iterable[C],
    /,
    *none: P.args,
    **constants: P.kwargs,
) -> list[R]: ...
@overload
def map(
    func: Callable[Concatenate[A, B, P], R],
    items: Iterable[A],
    second: Iterable[B],
    /,
    *none: P.args,
    **constants: P.kwargs,
) -> list[R]: ...
@overload
def map(
    func: Callable[Concatenate[A, P], R], items: Iterable[A], /, *none: P.args, **constants: P.kwargs
) -> list[R]: ...
def map(func: Callable[..., R], items: Iterable[Any], /, *iterables: Any, **constants: Any) -> list[R]:
    """Apply a function to each element of a list, in parallel.

    Inside a pipeline it is one mapped call: each item is remembered on its own, and item *i* of a chained map starts
    when item *i* of the first is done. The list may be the result of a step, of a length known only then. Outside of a
    pipeline it runs at once, with a progress bar, for any function; without a cache, unless it is a step in a
    ``with jpipe.cached():`` block. A step's ``n_jobs``, ``prefer``, ``batch_size``, ``max_nbytes`` and ``mmap_mode``
    hold.

    Parameters
    ----------
    func
        A step or, also inside a pipeline, a plain function. Its first parameters take the elements.
    items, *iterables
        What to map over; the shortest wins.
    **constants
        Arguments that are the same for all items; sent once, whatever they weigh.

    Returns
    -------
    list
        In the order of the items. Inside a pipeline an `Output` that stands for it.

    Examples
    --------
    >>> map(round, [0.12, 3.46], ndigits=1)
    [0.1, 3.5]
    """
    if not callable(func):
        raise UsageError(f"jpipe.map takes the function first, not {func!r:.60}", hint="jpipe.map(function, items)")
    active = recorder.get()
    if isinstance(active, Layout) or (active is not None and isinstance(func, Step)):
        step = func if isinstance(func, Step) else _as_step(func)
        return active.map(step, (items, *iterables), constants)  # type: ignore[return-value]
    from jpipe.parallel.bar import map_with_bar

    return map_with_bar(func, (items, *iterables), constants, **_options_of(func))


def _options_of(func: Any) -> dict[str, Any]:
    """What a step says of how it is mapped, where that is not the default."""
    if not isinstance(func, Step):
        return {}
    default = StepOptions()
    names = ("n_jobs", "prefer", "batch_size", "max_nbytes", "mmap_mode")
    return {name: value for name in names if (value := getattr(func.declared, name)) != getattr(default, name)}


_steps: dict[Any, Step[..., Any]] = {}


def _as_step(func: Callable[..., Any]) -> Step[..., Any]:
    try:
        return _steps.setdefault(func, Step(func, StepOptions()))
    except TypeError:
        return Step(func, StepOptions())
