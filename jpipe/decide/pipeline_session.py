"""A session in which a pipeline was laid out, ready to be planned or run."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.session import Session
from jpipe.define.layout import Layout
from jpipe.define.parameters import check
from jpipe.define.pipeline import Pipeline
from jpipe.define.selection import calls_meant, steps_meant
from jpipe.errors import JpipeError, Location, NothingSelectedError, WiringError
from jpipe.history.journal_writer import Opening, text_of
from jpipe.history.last_run import History, LastRun, pipeline_id
from jpipe.history.run_index import checkout_of, commit_of
from jpipe.system.import_observer import observing
from jpipe.system.notebook_cells import home_of

__all__ = ["PipelineSession", "lay_out"]


class PipelineSession(Session):
    """A session in which a pipeline was laid out.

    Parameters
    ----------
    pipeline, parameters
        What to lay out.
    cache_dir, create
        As in `Session`.

    Attributes
    ----------
    layout, result
        The calls, and what the pipeline function returned, with outputs in it.

    Raises
    ------
    UsageError
        For parameters that the pipeline does not take.
    WiringError, PipelineLoadError
        When the pipeline function cannot be laid out.
    NothingSelectedError
        When it calls no step.
    """

    def __init__(
        self,
        pipeline: Pipeline[..., Any],
        parameters: Mapping[str, Any] | None = None,
        cache_dir: str | Path | None = None,
        *,
        create: bool = True,
    ) -> None:
        self.pipeline = pipeline
        self.parameters = dict(parameters or {})
        check(pipeline, self.parameters)
        self.layout, self.result = lay_out(pipeline, self.parameters)
        if not self.layout.calls:
            raise NothingSelectedError(
                f"pipeline {pipeline.name} calls no step",
                location=Location(pipeline.file, pipeline.line),
                hint="mark the functions that it calls with @step",
            )
        super().__init__(pipeline.file, cache_dir, create=create)

    @functools.cached_property
    def history(self) -> History:
        """What earlier runs left."""
        return History(self.store)

    @functools.cached_property
    def last_run(self) -> LastRun:
        """The run of this pipeline before this one."""
        return self.history.last_run(self.identity)

    @property
    def identity(self) -> str:
        """The name under which runs of this pipeline are kept."""
        home = home_of(self.pipeline.file, getattr(self.pipeline.function, "__globals__", {}))
        return pipeline_id(self.files.short(home), self.pipeline.name)

    def opening(self, run: str) -> Opening:
        """What is known of a run that begins now."""
        known, given = self.pipeline.bound(self.parameters), tuple(self.parameters)
        parameters = {parameter: text_of(value) for parameter, value in known.arguments.items()}
        return Opening(run, self.identity, parameters, given, commit_of(self.root), time.time(), checkout_of(self.root))

    def state(self, targets: Sequence[str] = (), *, forced: Iterable[str] = (), **options: Any) -> PipelineState:
        """What is known of the calls of the target steps and of all that they need.

        Parameters
        ----------
        targets
            Words that mean steps, as in `jpipe.define.selection`. Default: every call of the pipeline.
        forced
            The same for steps that run whatever their records say.
        **options
            As in `PipelineState`.

        Raises
        ------
        UsageError
            For a name of no step of the pipeline.
        """
        calls = self.layout.calls
        with observing():
            return self.state_of(self.layout, calls_meant(targets, calls), forced=steps_meant(forced, calls), **options)


def lay_out(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any]) -> tuple[Layout, Any]:
    """Run the pipeline function once, and write down which steps it calls.

    Raises
    ------
    WiringError
        When it uses steps in a way that cannot work, or raises.
    """
    layout = Layout()
    try:
        with layout, observing(calls=True):
            result = pipeline.called_by_name(parameters)
            if inspect.iscoroutine(result):
                result.close()
                raise WiringError(f"pipeline {pipeline.name} is async", hint="a pipeline only wires steps: write `def`")
            if inspect.isgenerator(result):
                result = list(result)
    except JpipeError:
        raise
    except Exception as error:
        frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
        own = [frame for frame in frames if frame.filename == pipeline.file] or frames[-1:]
        place = Location(own[-1].filename, own[-1].lineno) if own else None
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        hint = "an Output stands for the result of a step: use the result in a step" if "Output" in text else None
        raise WiringError(f"pipeline {pipeline.name} raised {text}", location=place, hint=hint) from error
    return layout, result
