"""A pipeline made ready: laid out, its cache open, its steps' code fingerprinted."""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jpipe.decide.call_state import CallState
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.result_digests import unreadable
from jpipe.define.layout import Layout, Output
from jpipe.define.parameters import check
from jpipe.define.pipeline import Pipeline
from jpipe.define.return_value import filled
from jpipe.define.step import Step
from jpipe.errors import CacheMiss, JpipeError, Location, NothingSelectedError, WiringError
from jpipe.files import FileDigests
from jpipe.fingerprint import Fingerprint, Fingerprinter
from jpipe.history.acceptance import accepted_families
from jpipe.history.journal_writer import Opening, text_of
from jpipe.history.last_run import History, LastRun, pipeline_id
from jpipe.history.run_index import commit_of
from jpipe.model.run_report import unknown_step
from jpipe.settings import Settings, settings_for
from jpipe.store import MissingEntry, Store, UnreadableEntry
from jpipe.system.import_observer import observing
from jpipe.system.notebook_cells import home_of
from jpipe.system.project import default_cache_dir, find_root

__all__ = ["Session", "lay_out", "load_step", "open_store", "prepare"]


@dataclass(slots=True)
class Session:
    """A pipeline that can be planned or run.

    Attributes
    ----------
    pipeline, parameters
        What was asked for.
    root
        The project.
    store
        Its cache.
    layout, result
        The calls, and what the pipeline function returned, with outputs in it.
    fingerprinter, files
        For code and for files.
    history, last_run
        What earlier runs left.
    new_cache
        Whether the cache was made just now.
    settings
        What ``pyproject.toml`` and the environment say.
    """

    pipeline: Pipeline[..., Any]
    parameters: Mapping[str, Any]
    root: Path
    store: Store
    layout: Layout
    result: Any
    fingerprinter: Fingerprinter
    files: FileDigests
    history: History
    last_run: LastRun
    new_cache: bool
    settings: Settings
    _fingerprints: dict[int, tuple[Any, Fingerprint]]

    def fingerprint(self, step: Step[..., Any]) -> Fingerprint:
        """The fingerprint of a step's code."""
        known = self._fingerprints.get(id(step))
        if known is None:
            declared = step.declared
            packages = declared.packages if isinstance(declared.packages, str) else tuple(declared.packages)
            found = self.fingerprinter.of(
                step.function, version=declared.version, depends=declared.depends, env=declared.env, packages=packages
            )
            known = self._fingerprints[id(step)] = step, found
        return known[1]

    def configured(self, n_jobs: int | None, backend: str | None) -> tuple[int | None, str | None]:
        """`n_jobs` and `backend`, from the settings where they are not given."""
        return (
            self.settings.jobs if n_jobs is None else n_jobs,
            self.settings.backend if backend is None else backend,
        )

    @property
    def identity(self) -> str:
        """What runs of this pipeline are filed under."""
        home = home_of(self.pipeline.file, getattr(self.pipeline.function, "__globals__", {}))
        return pipeline_id(self.files.short(home), self.pipeline.name)

    def opening(self, run: str) -> Opening:
        """What is known of a run that begins now."""
        known = self.pipeline.parameters.bind(**self.parameters)
        given = tuple(known.arguments)
        known.apply_defaults()
        parameters = {parameter: text_of(value) for parameter, value in known.arguments.items()}
        return Opening(run, self.identity, parameters, given, commit_of(self.root), time.time())

    def wanted(self, targets: Sequence[str]) -> list[int]:
        """Numbers of the calls that take part: those of the target steps and all that they need.

        Raises
        ------
        UsageError
            For a target that is no step of the pipeline.
        """
        calls = self.layout.calls
        if not targets:
            return [call.number for call in calls]
        self.known_steps(targets)
        taken = {call.number for call in calls if call.step.name in targets}
        for call in reversed(calls):
            if call.number in taken:
                taken.update(call.needs)
        return sorted(taken)

    def known_steps(self, names: Iterable[str]) -> frozenset[str]:
        """The names, checked.

        Raises
        ------
        UsageError
            For a name that is no step of the pipeline.
        """
        known = list(dict.fromkeys(call.step.name for call in self.layout.calls))
        for name in names:
            if name not in known:
                raise unknown_step(name, known)
        return frozenset(names)

    def pipeline_state(self, wanted: Iterable[int], **options: Any) -> PipelineState:
        """The state of the pipeline, as far as these calls take part."""
        return PipelineState(
            self.layout,
            wanted,
            store=self.store,
            fingerprints=self.fingerprint,
            fingerprinter=self.fingerprinter,
            files=self.files,
            now=time.time(),
            accepted=accepted_families(self.store),
            **options,
        )

    def load_result(self, pipeline_state: PipelineState) -> Any:
        """What the pipeline returns, with every output replaced by its value."""
        return filled(self.result, lambda output: load_output(pipeline_state, output))


def prepare(
    pipeline: Pipeline[..., Any],
    parameters: Mapping[str, Any] | None,
    cache_dir: Path | str | None,
    *,
    create: bool = True,
) -> Session:
    """Lay a pipeline out and open its cache.

    Raises
    ------
    UsageError
        For parameters that the pipeline does not take.
    WiringError, PipelineLoadError
        When the pipeline function cannot be laid out.
    CacheError
        When the cache cannot be used.
    """
    parameters = dict(parameters or {})
    check(pipeline, parameters)
    root = find_root(Path(pipeline.file)) if os.path.exists(pipeline.file) else find_root(Path.cwd())
    layout, result = lay_out(pipeline, parameters)
    if not layout.calls:
        raise NothingSelectedError(
            f"pipeline {pipeline.name} calls no step",
            location=Location(pipeline.file, pipeline.line),
            hint="mark the functions that it calls with @step",
        )
    settings = settings_for(root, {})
    chosen = cache_dir if cache_dir is not None else settings.cache_dir
    folder = Path(chosen) if chosen is not None else default_cache_dir(root)
    new = not folder.exists()
    store = open_store(folder, create=create)
    fingerprinter = Fingerprinter(root, store.parsed, key=store.disk.key.secret)
    history = History(store)
    session = Session(
        pipeline,
        parameters,
        root,
        store,
        layout,
        result,
        fingerprinter,
        FileDigests(root),
        history,
        LastRun(),
        new,
        settings,
        {},
    )
    session.last_run = history.last_run(session.identity)
    return session


def open_store(folder: Path | str, *, create: bool = True) -> Store:
    """The store in a folder."""
    return Store.open(Path(folder), create=create)


def lay_out(pipeline: Pipeline[..., Any], parameters: Mapping[str, Any]) -> tuple[Layout, Any]:
    """Run the pipeline function once, and write down which steps it calls.

    Raises
    ------
    WiringError
        When it uses steps in a way that cannot work, or raises.
    """
    layout = Layout()
    try:
        with layout, observing():
            result = pipeline(**parameters)
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
        raise WiringError(f"pipeline {pipeline.name} raised {text}", location=place) from error
    return layout, result


def load_output(pipeline_state: PipelineState, output: Output) -> Any:
    """The value of an output whose call is done.

    Raises
    ------
    CacheMiss
        When it is there and cannot be unpickled.
    """
    places, path = pipeline_state.place_of(output)
    mode = output.call.step.declared.mmap_mode
    try:
        if path is None:
            return pipeline_state.store.load_many(places, mmap_mode=mode)
        value = pipeline_state.store.load(places[0], mmap_mode=mode)
    except UnreadableEntry as error:
        raise unreadable(output, error) from error
    for key in path:
        value = value[key]
    return value


def load_step(pipeline_state: PipelineState, step: str) -> list[Any]:
    """The values of all items of a step.

    Raises
    ------
    CacheMiss
        When one has no result, or it cannot be loaded.
    """
    values: list[Any] = []
    for state in pipeline_state.states.values():
        if state.call.step.name == step:
            values += _load_state(pipeline_state, state)
    return values


def _load_state(pipeline_state: PipelineState, state: CallState) -> list[Any]:
    step = state.call.step.name
    if not state.is_done:
        raise CacheMiss(f"not all items of {step} have a result", hint="Run.failures says what failed")
    try:
        value = load_output(pipeline_state, Output(pipeline_state.layout, state.call))
    except MissingEntry as error:
        raise CacheMiss(f"a result of {step} is damaged or gone", hint="run the pipeline again") from error
    return value if state.call.is_mapped else [value]
