"""What a run did, after it did it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from jpipe.errors import (
    CacheMiss,
    ExitCode,
    ItemTimeoutError,
    Location,
    RunInterrupted,
    StepError,
    UnstorableResult,
    UsageError,
    WorkerLostError,
    did_you_mean,
)
from jpipe.model.display import Displayed
from jpipe.model.events import Failure, StepEnded
from jpipe.model.outcomes import Outcome
from jpipe.model.plan import Plan
from jpipe.system.error_record import ErrorRecord
from jpipe.system.notebook_cells import cell_name

__all__ = ["Outcomes", "Run", "StepResults"]


class Outcomes(Displayed, dict[str, StepEnded]):
    """By step, what became of its items."""


class StepResults(Displayed, list[Any]):
    """The results of all items of a step, in the order of the program."""


class Run(Displayed):
    """A finished run.

    Attributes
    ----------
    pipeline, name : str
        The pipeline's name, and the run's.
    outcome : Outcome
        What became of it.
    plan : Plan or None
        What it set out to do.
    steps : tuple of StepEnded
        What became of each step.
    failures : tuple of Failure
        The items that failed.
    seconds : float
        Wall time.

    Examples
    --------
    >>> import jpipe
    >>> square = jpipe.step(name="square")(lambda n: n * n)
    >>> main = jpipe.pipeline(lambda: [square(n) for n in range(3)])
    >>> run = jpipe.run(main, n_jobs=1)
    >>> run.value, run["square"], run.outcome.value, run.failures
    ([0, 1, 4], [0, 1, 4], 'ran', ())
    """

    def __init__(
        self,
        *,
        pipeline: str,
        name: str,
        outcome: Outcome,
        steps: tuple[StepEnded, ...],
        failures: tuple[tuple[Failure, ErrorRecord], ...],
        seconds: float,
        make_plan: Callable[[], Plan],
        load_value: Callable[[], Any],
        load_step: Callable[[str], list[Any]],
        write_html: Callable[[str | os.PathLike[str]], None],
    ) -> None:
        self.pipeline = pipeline
        self.name = name
        self.outcome = outcome
        self.steps = steps
        self.failures = tuple(failure for failure, _ in failures)
        self.seconds = seconds
        self._errors = tuple(error for _, error in failures)
        self._make_plan = make_plan
        self._load_value = load_value
        self._load_step = load_step
        self._write_html = write_html
        self._value: list[Any] = []

    @property
    def plan(self) -> Plan:
        """What it set out to do."""
        return self._make_plan()

    @property
    def outcomes(self) -> Outcomes:
        """By step, what became of its items.

        Examples
        --------
        >>> import jpipe
        >>> square = jpipe.step(name="square")(lambda n: n * n)
        >>> run = jpipe.run(jpipe.pipeline(lambda: [square(2), square(3)]), n_jobs=1)
        >>> run.outcomes["square"].ran, run.outcomes["square"].cached
        (2, 0)
        """
        return Outcomes((step.step, step) for step in self.steps)

    @property
    def value(self) -> Any:
        """What the pipeline returns.

        Raises
        ------
        StepError
            When a step failed; the step's own exception is its cause.
        RunInterrupted
            When the run was interrupted.

        Examples
        --------
        >>> import jpipe
        >>> square = jpipe.step(lambda n: n * n)
        >>> jpipe.run(jpipe.pipeline(lambda: {"nine": square(3)}), n_jobs=1).value
        {'nine': 9}
        """
        self.raise_for_failure()
        if not self._value:
            self._value.append(self._load_value())
        return self._value[0]

    def __getitem__(self, step: str) -> StepResults:
        """The results of all items of a step, in the order of the program.

        Parameters
        ----------
        step
            The name of a step.

        Raises
        ------
        CacheMiss
            When the run has no such step, or an item of it has no result.

        Examples
        --------
        >>> import jpipe
        >>> square = jpipe.step(name="square")(lambda n: n * n)
        >>> jpipe.run(jpipe.pipeline(lambda: [square(2), square(3)]), n_jobs=1)["square"]
        [4, 9]
        """
        if step not in self.outcomes:
            raise CacheMiss(f"this run has no step {step!r}", hint=f"it has {', '.join(self.outcomes)}")
        return StepResults(self._load_step(step))

    def raise_for_failure(self) -> None:
        """Raise what the run failed with, if it did.

        Raises
        ------
        StepError, RunInterrupted
            See `value`.

        Examples
        --------
        >>> import jpipe
        >>> inverse = jpipe.step(name="inverse")(lambda n: 1 / n)
        >>> jpipe.run(jpipe.pipeline(lambda: inverse(0)), n_jobs=1).raise_for_failure()
        Traceback (most recent call last):
        jpipe.errors.StepError: inverse[n=0] failed: ZeroDivisionError: division by zero...
        """
        if self.outcome is Outcome.INTERRUPTED:
            raise RunInterrupted(
                f"the run of {self.pipeline} was interrupted", hint="run it again: what finished is kept"
            )
        if self.failures:
            error = _error_of(self.failures[0], len(self.failures))
            raise error from self._errors[0].exception()

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Write what the run did and gave as one HTML page, which needs no network and no server.

        Parameters
        ----------
        path
            The file.

        Raises
        ------
        UsageError
            When it cannot be written.

        Examples
        --------
        >>> import jpipe
        >>> square = jpipe.step(lambda n: n * n)
        >>> jpipe.run(jpipe.pipeline(lambda: square(3)), n_jobs=1).to_html("report.html")
        """
        self._write_html(path)

    @property
    def exit_code(self) -> ExitCode:
        """What the command returns for it.

        Examples
        --------
        >>> import jpipe
        >>> inverse = jpipe.step(lambda n: 1 / n)
        >>> jpipe.run(jpipe.pipeline(lambda: inverse(0)), n_jobs=1).exit_code.name
        'FAILED'
        """
        if self.outcome is Outcome.INTERRUPTED:
            return ExitCode.INTERRUPTED
        return ExitCode.FAILED if self.failures else ExitCode.OK

    def __repr__(self) -> str:
        return f"<run of {self.pipeline}: {self.outcome.value} in {self.seconds:.1f}s>"


_ERRORS = {"killed": WorkerLostError, "timeout": ItemTimeoutError, "unstorable": UnstorableResult}


def _error_of(failure: Failure, count: int) -> StepError:
    own = [frame for frame in failure.frames if frame[3]]
    place = Location(cell_name(own[-1][0]), own[-1][1]) if own else None
    more = f" ({count - 1} more items failed)" if count > 1 else ""
    text = f"{failure.label} failed: {failure.error_type}: {failure.message}{more}"
    return _ERRORS.get(failure.kind, StepError)(text, location=place)


def unknown_step(name: str, known: list[str]) -> UsageError:
    """A target that the pipeline does not have."""
    hint = did_you_mean(name, known, f"its steps are {', '.join(known) or 'none'}")
    return UsageError(f"the pipeline has no step {name!r}", hint=hint)
