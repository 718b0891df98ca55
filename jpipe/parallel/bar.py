"""A tqdm bar of finished items, opened when the workers are there and never left open."""

from __future__ import annotations

import contextlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from jpipe.parallel.item_source import length_of
from jpipe.parallel.map import parallel_map

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

__all__ = ["Bar", "default_bar", "map_with_bar"]


class Bar:
    """A bar that is made late.

    Parameters
    ----------
    make
        A tqdm class.
    options
        Its keyword arguments.
    """

    def __init__(self, make: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self._make = make
        self._options = options
        self._bar: Any = None

    def start(self) -> None:
        """Show it, if there is anywhere to show it."""
        options = dict(self._options)
        if options.get("file") is None and (sys.stderr is None or sys.stderr.closed):
            options["disable"] = True
        try:
            self._bar = self._make(**options)
        except OSError:  # the screen is gone, and the work is not
            self._bar = self._make(**{**options, "disable": True})

    def add(self, count: int) -> None:
        """So many more items are finished."""
        try:
            self._bar.update(count)
        except OSError:
            self._bar.disable = True

    def show(self, done: int, total: int, note: str) -> None:
        """`done` of `total` items are finished; `note` stands behind that. It begins by itself."""
        if self._bar is None:
            self.start()
        try:
            self._bar.total, self._bar.n = total, done
            self._bar.set_postfix_str(note)
        except OSError:
            self._bar.disable = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()


def default_bar() -> Any:
    """tqdm's class for where this runs."""
    if "IPython" in sys.modules:
        from tqdm.auto import tqdm as notebook

        return notebook
    return _quiet_bar()


@cache
def _quiet_bar() -> Any:
    from tqdm import tqdm

    class FinishedItems(tqdm):  # type: ignore[type-arg]
        """A bar without tqdm's monitor thread, which would keep the next map from forking its workers."""

        monitor_interval = 0

    return FinishedItems


def map_with_bar(
    function: Callable[..., Any],
    iterables: Sequence[Iterable[Any]],
    constants: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Any]:
    """The results of a function for every item, in order, with a bar on stderr.

    Parameters
    ----------
    function, iterables, constants, options
        See `parallel_map`.

    Returns
    -------
    list
        One result for each item.
    """
    total = options.pop("total", None) or length_of(iterables)
    name = getattr(function, "__name__", None)
    shown = {"total": total, "desc": name if name != "<lambda>" else None}
    with Bar(default_bar(), shown) as bar:
        return list(
            parallel_map(
                function, iterables, constants, whole=True, total=total, on_start=bar.start, on_done=bar.add, **options
            )
        )
