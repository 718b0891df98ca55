"""tqdm_batch's map: a list, a function, extra arguments that are sent once, and one bar or one for each worker."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from jpipe.errors import UsageError
from jpipe.parallel.bar import Bar, default_bar
from jpipe.parallel.item_source import InTurns
from jpipe.parallel.map import UNSET, map_in_batches
from jpipe.parallel.map_worker import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["batch_process"]


def batch_process(
    items: Iterable[Any],
    function: Callable[..., Any],
    n_workers: int = 8,
    sep_progress: bool = False,
    *args: Any,
    **kwargs: Any,
) -> list[Any]:
    """The results of ``function(item, *args, **kwargs)`` for each item, in order.

    Parameters
    ----------
    items
        The items, in a list or any other iterable.
    function
        Any callable.
    n_workers
        Number of worker processes, from 1.
    sep_progress
        Whether to show a bar for each worker instead of one for all: the items are split into as many consecutive
        batches as there are workers, and bar *i* counts the finished items of batch *i*.
    args, kwargs
        More arguments, the same for all items. However large, they are sent to each worker once.

    Returns
    -------
    list
        One result for each item.

    Raises
    ------
    Exception
        What the first item that failed has raised, with a note that names the item.
    UsageError
        When `n_workers` is less than 1.

    Examples
    --------
    >>> from jpipe.parallel import batch_process
    >>> batch_process([1, 2, 3], pow, 2, False, 3)  # 1 ** 3, 2 ** 3, 3 ** 3
    [1, 8, 27]
    """
    if n_workers < 1:
        raise UsageError(f"n_workers={n_workers!r}: it takes a number of workers from 1")
    listed = items if isinstance(items, list) else list(items)
    parts = _split(len(listed), n_workers)
    bars = _bars(parts) if sep_progress else [_Part(range(len(listed)), {"desc": "Total"})]
    turns = InTurns(listed, parts if sep_progress else [range(len(listed))])

    def start() -> None:
        for bar in bars:
            bar.start()

    def count(first: int, number: int) -> None:
        next(bar for bar in bars if first in bar.part).add(number)

    with contextlib.ExitStack() as stack:
        for bar in bars:
            stack.enter_context(bar)
        batches = map_in_batches(
            Work(function, args, kwargs),
            turns,
            options={},
            n_jobs=min(n_workers, max(len(listed), 1)),
            ordered=True,
            whole=True,
            total=len(listed),
            batch_size="auto",
            max_nbytes=UNSET,
            mmap_mode=UNSET,
            on_start=start,
            on_done=count,
        )
        return list(itertools.chain.from_iterable(batches))


class _Part(Bar):
    """The bar of a range of items."""

    def __init__(self, part: range, options: dict[str, Any]) -> None:
        super().__init__(default_bar(), {"total": len(part), **options})
        self.part = part


def _bars(parts: list[range]) -> list[_Part]:
    return [_Part(part, {"desc": f"Worker {number}", "position": number - 1}) for number, part in enumerate(parts, 1)]


def _split(count: int, parts: int) -> list[range]:
    """Consecutive ranges of equal length, the last shorter; fewer than asked for when there is less to split."""
    length = max(-(-count // parts), 1)
    return [range(start, min(start + length, count)) for start in range(0, count, length)]
