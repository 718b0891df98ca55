"""A bar that counts the finished tasks of one's own ``joblib.Parallel`` calls.

joblib tells a `Parallel` object about finished tasks by calling its ``print_progress``, a method it documents for
overriding, whatever the backend, ``n_jobs`` and ``return_as``. While a bar is active, a call of a `Parallel` object
made in the same thread gets a ``print_progress`` of its own, on the object. To see those calls, ``Parallel.__call__``
is wrapped as long as any thread has a bar active, and put back afterwards; for all other calls the wrapper does
nothing.
"""

from __future__ import annotations

import contextlib
import threading
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

from jpipe.parallel.bar import default_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = ["tqdm_joblib"]


@contextlib.contextmanager
def tqdm_joblib(*args: Any, tqdm: Callable[..., Any] | None = None, **kwargs: Any) -> Iterator[Any]:
    """Show a bar that counts the finished tasks of the ``Parallel`` calls made in the ``with`` block.

    Parameters
    ----------
    args, kwargs
        For the bar: ``total=``, ``desc=``, ... Without ``total`` it is taken from the calls that say how many tasks
        they have. A bar that exists already can be given instead.
    tqdm
        Class of the bar. Default: tqdm's for a terminal or a notebook.

    Yields
    ------
    tqdm.tqdm
        The bar. It is closed at the end of the block, or, for a call with ``return_as="generator"`` whose results are
        taken later, when they all have been taken.

    Notes
    -----
    Blocks can be nested, the innermost bar counts; calls made inside of tasks are not counted. Each thread has bars of
    its own.

    Examples
    --------
    >>> from joblib import Parallel, delayed
    >>> with tqdm_joblib(total=3, desc="roots") as bar:
    ...     roots = Parallel(n_jobs=1)(delayed(pow)(n, 0.5) for n in (1, 4, 9))
    >>> roots, bar.n
    ([1.0, 2.0, 3.0], 3)
    """
    if len(args) == 1 and not kwargs and callable(getattr(args[0], "update", None)):
        bar = args[0]
    else:
        bar = (tqdm or default_bar())(*args, **{"smoothing": 0, **kwargs})
    counter = _Counter(bar)
    token = _active.set(counter)
    _wrap_calls()
    try:
        yield bar
    finally:
        _unwrap_calls()
        _active.reset(token)
        counter.leave()


class _Counter:
    """Counts into one bar, from any thread, and closes it when nobody is left who counts."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._lock = threading.Lock()
        self._open = 1
        self._has_total = bar.total is not None

    def enter(self, tasks: int | None) -> None:
        """A call begins."""
        with self._lock:
            self._open += 1
            if tasks is not None and not self._has_total:
                self._bar.total = (self._bar.total or 0) + tasks
                self._bar.refresh()

    def add(self, count: int) -> None:
        """So many more tasks are finished."""
        with self._lock:
            self._bar.update(count)

    def leave(self) -> None:
        """A call, or the block, ends."""
        with self._lock:
            self._open -= 1
            if not self._open:
                self._bar.close()


_active: ContextVar[_Counter | None] = ContextVar("jpipe_active_bar", default=None)

_wrapping = threading.Lock()
_blocks = 0
_original: Any = None


def _wrap_calls() -> None:
    # Not imported before it is needed: a map that joblib is not loaded for can fork its workers.
    from joblib import Parallel

    global _blocks, _original
    with _wrapping:
        _blocks += 1
        if _blocks == 1:
            _original = Parallel.__call__
            Parallel.__call__ = _counting(_original)


def _unwrap_calls() -> None:
    from joblib import Parallel

    global _blocks
    with _wrapping:
        _blocks -= 1
        if _blocks == 0:
            Parallel.__call__ = _original


def _counting(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def counted(parallel: Any, iterable: Any) -> Any:
        counter = _active.get()
        return call(parallel, iterable) if counter is None else _call(call, parallel, iterable, counter)

    return counted


def _call(call: Callable[..., Any], parallel: Any, iterable: Any, counter: _Counter) -> Any:
    """Make a call whose finished tasks count."""
    watch = _Watch(parallel, counter, len(iterable) if hasattr(iterable, "__len__") else None)
    try:
        with _not_counting():
            output = call(parallel, iterable)
    except BaseException:
        watch.end()
        raise
    if parallel.return_generator:
        return _Taken(output, watch)
    watch.end()
    return output


class _Watch:
    """Counts what one call of a `Parallel` object finishes."""

    def __init__(self, parallel: Any, counter: _Counter, tasks: int | None) -> None:
        self._parallel = parallel
        self._counter = counter
        self._lock = threading.Lock()
        self._told = 0
        self._ended = False
        self._inherited = parallel.print_progress
        # Left over from the object's last call.
        parallel.n_completed_tasks = 0
        parallel.print_progress = self._print_progress
        counter.enter(tasks)

    def end(self) -> None:
        """The call is over."""
        if self._ended:
            return
        self._ended = True
        # The results can be there before joblib told about the last of them.
        self._tell()
        self._parallel.__dict__.pop("print_progress", None)
        self._counter.leave()

    def _print_progress(self) -> None:
        self._tell()
        self._inherited()

    def _tell(self) -> None:
        with self._lock:
            new = self._parallel.n_completed_tasks - self._told
            if new > 0:
                self._told += new
                self._counter.add(new)


class _Taken:
    """The results of a lazy call; the tasks that run while they are taken make no calls that count."""

    def __init__(self, output: Generator[Any, None, None], watch: _Watch) -> None:
        self._output = output
        self._watch = watch

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with _not_counting():
                return next(self._output)
        except BaseException:
            self._watch.end()
            raise

    def close(self) -> None:
        """Cancel what is not finished."""
        self._output.close()
        self._watch.end()

    def __del__(self) -> None:
        self.close()


@contextlib.contextmanager
def _not_counting() -> Iterator[None]:
    token = _active.set(None)
    try:
        yield
    finally:
        _active.reset(token)
