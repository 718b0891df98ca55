"""Every error jpipe raises, as one tree, and every exit code; "did you mean".

::

    JpipeError
    ├── UsageError                  2   an option, parameter, name or value that cannot be used
    │   ├── ConfigurationError      2   the same in pyproject.toml or the environment
    │   └── NothingSelectedError    5   targets or --item/--failed that match nothing
    ├── PipelineLoadError           3   the pipeline file cannot be imported or holds no pipeline
    ├── WiringError                 3   the pipeline function uses steps in a way that cannot work
    ├── UndigestibleError           3   a value that cannot be told apart from other values
    ├── OutOfDateError              4   --check or --frozen found something to do
    ├── StepError                   1   a step failed
    │   ├── WorkerLostError         1   its worker process was killed
    │   ├── ItemTimeoutError        1   it took longer than its timeout
    │   └── UnstorableResult        1   its result cannot be pickled
    ├── CacheError                  2   the cache cannot be used
    │   ├── CacheFolderError        2   the cache folder is not jpipe's, not this user's, or not safe
    │   ├── NewerFormatError        2   the cache was written by a newer jpipe
    │   └── RemoteCacheError        2   the remote cache does not answer, or not as it should
    ├── CacheMiss                   2   `jpipe.load` found nothing
    └── RunInterrupted            130   Ctrl-C

A `JpipeError` is a mistake that its reader can mend: it is shown as one message, without a traceback. Any other
exception that leaves jpipe is a bug in jpipe. The examples of the errors are about this pipeline:

>>> import contextlib, math, os, pathlib, threading, time
>>> import jpipe
>>> @jpipe.step
... def root(x: float) -> float:
...     return math.sqrt(x)
>>> @jpipe.pipeline
... def main() -> list[float]:
...     return [root(n) for n in range(3)]
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

__all__ = [
    "CacheError", "CacheFolderError", "CacheMiss", "ConfigurationError", "ExitCode", "ItemTimeoutError",
    "JpipeError", "Location", "NewerFormatError", "NothingSelectedError", "OutOfDateError",
    "PipelineLoadError", "RemoteCacheError", "RunInterrupted", "StepError", "UndigestibleError",
    "UnstorableResult", "UsageError", "WiringError", "WorkerLostError", "did_you_mean", "nearest",
]  # fmt: skip


class ExitCode(IntEnum):
    """What the ``jpipe`` command returns to the shell.

    Examples
    --------
    >>> ExitCode.OUT_OF_DATE.value, ExitCode(130).name
    (4, 'INTERRUPTED')
    """

    OK = 0
    """Everything asked for is up to date."""
    FAILED = 1
    """A step failed."""
    USAGE = 2
    """Wrong usage or configuration."""
    NOT_LOADED = 3
    """The pipeline does not load or is wired wrong."""
    OUT_OF_DATE = 4
    """``--check`` or ``--frozen`` found something out of date."""
    NOTHING_SELECTED = 5
    """The targets or the selection match nothing."""
    BUG = 70
    """A bug in jpipe."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""


class Location(NamedTuple):
    """A line in one of the user's files: its path, and the number of the line, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class JpipeError(Exception):
    """Base of all errors that jpipe raises.

    Parameters
    ----------
    message
        What happened, in one sentence.
    location
        The line of the user's file that it is about.
    hint
        What to do about it.

    Examples
    --------
    >>> error = UsageError("there is no step 'fot'", location=Location("study.py", 12), hint="did you mean 'fit'?")
    >>> print(error, error.exit_code.value)
    there is no step 'fot'
      at study.py:12
      hint: did you mean 'fit'? 2
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, location: Location | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.location = location
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.location is not None:
            lines.append(f"  at {self.location}")
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[JpipeError], args: tuple[object, ...], state: dict[str, object]) -> JpipeError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UsageError(JpipeError):
    """An option, parameter, name or value that cannot be used.

    Examples
    --------
    >>> jpipe.step(retry=2)
    Traceback (most recent call last):
    jpipe.errors.UsageError: step() has no option 'retry'
      hint: did you mean 'retries'?
    """

    exit_code = ExitCode.USAGE


class ConfigurationError(UsageError):
    """A setting in ``pyproject.toml`` or in the environment that cannot be used.

    Examples
    --------
    >>> os.environ["JPIPE_JOBS"] = "many"
    >>> main.run()
    Traceback (most recent call last):
    jpipe.errors.ConfigurationError: JPIPE_JOBS=many: that is not a number of workers...
    >>> del os.environ["JPIPE_JOBS"]
    """


class NothingSelectedError(UsageError):
    """Targets, ``--item`` or ``--failed`` match nothing.

    Examples
    --------
    >>> jpipe.run(main, targets=["root"], items=[7])
    Traceback (most recent call last):
    jpipe.errors.NothingSelectedError: root has 3 items, from 0 to 2...
    """

    exit_code = ExitCode.NOTHING_SELECTED


class PipelineLoadError(JpipeError):
    """The pipeline file cannot be imported, or holds no pipeline.

    Examples
    --------
    >>> from jpipe.testing import assert_up_to_date
    >>> assert_up_to_date("missing.py")
    Traceback (most recent call last):
    jpipe.errors.PipelineLoadError: there is no pipeline file 'missing.py'...
    """

    exit_code = ExitCode.NOT_LOADED


class WiringError(JpipeError):
    """The pipeline function uses steps in a way that cannot work.

    Examples
    --------
    >>> jpipe.pipeline(lambda: root(4) + 1).plan()
    Traceback (most recent call last):
    jpipe.errors.WiringError: root(...) is used with `+`, but it is not computed yet while the pipeline is laid out...
    """

    exit_code = ExitCode.NOT_LOADED


class UndigestibleError(JpipeError):
    """A value that cannot be digested faithfully.

    Parameters
    ----------
    message
        What cannot be digested.
    path
        Where it sits inside the value, as Python would write it: ``model._lock``.
    type_name
        Its type.
    hint
        The remedy.

    Examples
    --------
    >>> jpipe.pipeline(lambda: root(threading.Lock())).plan()
    Traceback (most recent call last):
    jpipe.errors.UndigestibleError: root(x=…): cannot digest <_thread.lock> at x...
    """

    exit_code = ExitCode.NOT_LOADED

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        type_name: str = "",
        hint: str | None = None,
        location: Location | None = None,
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.path = path
        self.type_name = type_name


class OutOfDateError(JpipeError):
    """``--check`` or ``--frozen`` found something to do.

    Examples
    --------
    >>> jpipe.run(main, frozen=True)
    Traceback (most recent call last):
    jpipe.errors.OutOfDateError: main is out of date: root...
    """

    exit_code = ExitCode.OUT_OF_DATE


class StepError(JpipeError):
    """A step failed.

    The step's own exception, where it survived the way from the worker, is the ``__cause__``.

    Examples
    --------
    >>> jpipe.pipeline(lambda: root(-1)).run(n_jobs=1)
    Traceback (most recent call last):
    jpipe.errors.StepError: root[x=-1] failed: ValueError: math domain error...
    """


class WorkerLostError(StepError):
    """The worker process of an item was killed.

    Examples
    --------
    >>> crash = jpipe.step(name="crash")(lambda: os._exit(7))
    >>> jpipe.pipeline(lambda: crash()).run(n_jobs=1)
    Traceback (most recent call last):
    jpipe.errors.WorkerLostError: crash failed: WorkerLostError: its worker process was killed
    """


class ItemTimeoutError(StepError):
    """An item took longer than the ``timeout`` of its step.

    Examples
    --------
    >>> nap = jpipe.step(timeout=0.1)(time.sleep)
    >>> jpipe.pipeline(lambda: nap(60)).run(n_jobs=1)
    Traceback (most recent call last):
    jpipe.errors.ItemTimeoutError: sleep failed: ...: took longer than its timeout of 0.1 s
    """


class UnstorableResult(StepError):
    """A result that cannot be pickled. A run goes on with it, keeps it for itself only, and says so.

    Parameters
    ----------
    message
        What cannot be pickled.
    path
        Where it sits inside the result: ``result["model"]._lock``.

    Examples
    --------
    >>> UnstorableResult("result['lock'] cannot be pickled", path="result['lock']").path
    "result['lock']"
    """

    def __init__(
        self, message: str, *, path: str = "", hint: str | None = None, location: Location | None = None
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.path = path


class CacheError(JpipeError):
    """The cache cannot be used.

    Examples
    --------
    >>> issubclass(CacheFolderError, CacheError), CacheError.exit_code.value
    (True, 2)
    """

    exit_code = ExitCode.USAGE


class CacheFolderError(CacheError):
    """The cache folder is not jpipe's, not this user's, or not safe.

    Examples
    --------
    >>> jpipe.load("root", cache_dir="nowhere")
    Traceback (most recent call last):
    jpipe.errors.CacheFolderError: there is no cache at ...nowhere...
    """


class NewerFormatError(CacheError):
    """The cache was written by a newer jpipe.

    Examples
    --------
    >>> os.mkdir("future", 0o700)
    >>> _ = pathlib.Path("future/format").write_text("jpipe cache 99")
    >>> jpipe.run(main, cache_dir="future")
    Traceback (most recent call last):
    jpipe.errors.NewerFormatError: the cache at ... was written by a newer jpipe (format 99, this one knows 1)...
    """


class RemoteCacheError(CacheError):
    """The remote cache does not answer, or not as it should.

    Examples
    --------
    >>> print(RemoteCacheError("no answer for 30 s").exit_code.value)
    2
    """


class CacheMiss(CacheError, LookupError):
    """A result that is not in the cache.

    Examples
    --------
    >>> with jpipe.cached():
    ...     _ = root(4)
    >>> jpipe.load(root, 5)
    Traceback (most recent call last):
    jpipe.errors.CacheMiss: the cache has no result of this call of root...
    """


class RunInterrupted(JpipeError):
    """Ctrl-C stopped the run; what finished is kept.

    Examples
    --------
    >>> with contextlib.suppress(RunInterrupted):  # Ctrl-C: go on with what finished, which is kept
    ...     main.run(n_jobs=1)
    [0.0, 1.0, 1.4142135623730951]
    """

    exit_code = ExitCode.INTERRUPTED


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` may be a misspelling of, None if there is none like it."""
    import difflib  # seldom needed, and every command would wait for it

    names = list(known)
    found = difflib.get_close_matches(name, names, 1) or [one for one in names if one.lower() == name.lower()]
    return found[0] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None) -> str | None:
    """The hint for a misspelt name; `otherwise` if no known name is like it."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else otherwise
