"""p_tqdm's six maps: parallel or sequential, at once or lazy, in order or as results come."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from jpipe.errors import UsageError
from jpipe.parallel.bar import Bar, default_bar
from jpipe.parallel.item_source import length_of
from jpipe.parallel.map import parallel_map
from jpipe.system.machine import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["p_imap", "p_map", "p_uimap", "p_umap", "t_imap", "t_map"]


_JOBLIBS = (
    "backend", "prefer", "require", "batch_size", "pre_dispatch", "max_nbytes", "mmap_mode", "temp_folder",
    "inner_max_num_threads",
)  # fmt: skip


def p_map(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> list[Any]:
    """The list of the function's results, computed in parallel, in order.

    Parameters
    ----------
    function
        Any callable.
    *iterables
        One for each of its positional arguments; the shortest ends the map.
    num_cpus : int or float, optional
        Number of worker processes: a whole number (a negative one counts from the number of cores, -1 is all of them),
        or a float for a share of the cores, at least one worker. Default: what ``joblib.parallel_config`` says, else
        all cores.
    total : int, optional
        Number of items, for the bar, where no iterable knows its length.
    tqdm : callable, optional
        Class of the bar. Default: tqdm's for a terminal or a notebook.
    backend, prefer, require, batch_size, pre_dispatch, max_nbytes, mmap_mode, temp_folder, inner_max_num_threads
        As in ``joblib.Parallel``; ``chunksize`` is another name for ``batch_size``.
    **kwargs
        Everything else goes to the bar: ``desc``, ``disable``, ``file``, ``position``, ``leave``...

    Raises
    ------
    Exception
        What the first item that failed has raised, with a note that names the item.

    Examples
    --------
    >>> p_map(pow, [2, 3], [5, 2], num_cpus=2, disable=True)
    [32, 9]
    """
    return list(_parallel(function, iterables, kwargs, ordered=True, whole=True))


def p_imap(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> Generator[Any, None, None]:
    """A generator of the results in order; nothing runs before the first is asked for.

    Parameters
    ----------
    function, *iterables, **kwargs
        As for `p_map`.

    Examples
    --------
    >>> list(p_imap(abs, [-1, 2], num_cpus=2, disable=True))
    [1, 2]
    """
    return _parallel(function, iterables, kwargs, ordered=True, whole=False)


def p_umap(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> list[Any]:
    """The list of the results in the order in which they were finished.

    Parameters
    ----------
    function, *iterables, **kwargs
        As for `p_map`.

    Examples
    --------
    >>> sorted(p_umap(abs, [-1, 2], num_cpus=2, disable=True))
    [1, 2]
    """
    return list(_parallel(function, iterables, kwargs, ordered=False, whole=True))


def p_uimap(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> Generator[Any, None, None]:
    """A generator of the results as they are finished.

    Parameters
    ----------
    function, *iterables, **kwargs
        As for `p_map`.

    Examples
    --------
    >>> sorted(p_uimap(abs, [-1, 2], num_cpus=2, disable=True))
    [1, 2]
    """
    return _parallel(function, iterables, kwargs, ordered=False, whole=False)


def t_map(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> list[Any]:
    """The list of the results, computed one after the other in this process.

    Parameters
    ----------
    function, *iterables, **kwargs
        As for `p_map`; what is about workers has no meaning here.

    Examples
    --------
    >>> t_map(abs, [-1, 2], disable=True)
    [1, 2]
    """
    return list(t_imap(function, *iterables, **kwargs))


def t_imap(function: Callable[..., Any], *iterables: Iterable[Any], **kwargs: Any) -> Generator[Any, None, None]:
    """A generator of the results, each computed in this process when asked for.

    Parameters
    ----------
    function, *iterables, **kwargs
        As for `p_map`; what is about workers has no meaning here.

    Examples
    --------
    >>> next(t_imap(abs, [-1, 2], disable=True))
    1
    """
    kwargs.pop("num_cpus", None)
    return _with_bar(function, iterables, kwargs, n_jobs=1, ordered=True, whole=False)


def _parallel(
    function: Callable[..., Any], iterables: tuple[Iterable[Any], ...], kwargs: dict[str, Any], **how: Any
) -> Generator[Any, None, None]:
    if "chunksize" in kwargs:
        kwargs["batch_size"] = kwargs.pop("chunksize")
    how |= {name: kwargs.pop(name) for name in _JOBLIBS if name in kwargs}
    n_jobs = _count(kwargs.pop("num_cpus", None))
    return _with_bar(function, iterables, kwargs, n_jobs=n_jobs, **how)


def _with_bar(
    function: Callable[..., Any], iterables: tuple[Iterable[Any], ...], kwargs: dict[str, Any], **how: Any
) -> Generator[Any, None, None]:
    if not iterables:
        raise TypeError("a map takes a function and at least one iterable")
    total = kwargs.pop("total", None) or length_of(iterables)
    make = kwargs.pop("tqdm", None) or default_bar()
    return _results(Bar(make, {"total": total, **kwargs}), function, iterables, total=total, **how)


def _results(
    bar: Bar, function: Callable[..., Any], iterables: tuple[Iterable[Any], ...], **how: Any
) -> Generator[Any, None, None]:
    results = parallel_map(function, iterables, on_start=bar.start, on_done=bar.add, **how)
    with bar, contextlib.closing(results):
        yield from results


def _count(num_cpus: Any) -> int | None:
    if num_cpus is None:
        return None
    if isinstance(num_cpus, float):
        num_cpus = max(round(num_cpus * cpu_count()), 1) if num_cpus > 0 else 0
    if not isinstance(num_cpus, int) or num_cpus == 0:
        raise UsageError(f"num_cpus={num_cpus!r}: it takes a number of workers, or a share of the cores as a float")
    return num_cpus
