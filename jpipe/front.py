"""What users call outside of a run: cached, load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from jpipe.acceptance import accepted_families
from jpipe.chunks import ChunkBuilder, StepQueue, own_folders
from jpipe.errors import CacheMiss, Location, StepError
from jpipe.files import FileDigests
from jpipe.fingerprint import Fingerprinter
from jpipe.functions import source_stamps
from jpipe.history import EarlierCall, History
from jpipe.layout import Layout, users_line
from jpipe.ledger import Ledger
from jpipe.project import default_cache_dir, find_root
from jpipe.recorded import unpack_keys
from jpipe.session import open_store
from jpipe.step import Step, recorder
from jpipe.store import MissingEntry, Store
from jpipe.worker import run_work

__all__ = ["cached", "load"]

R = TypeVar("R")


@contextmanager
def cached(cache_dir: str | Path | None = None) -> Iterator[None]:
    """Remember direct calls of steps, as joblib.Memory does.

    Parameters
    ----------
    cache_dir
        The cache. Default: ``cache`` in the project of the file that calls.

    Raises
    ------
    StepError
        From a call whose result cannot be stored; what a step itself raises passes through as it is.
    """
    token = recorder.set(_Remembering(cache_dir, users_line()))
    try:
        yield
    finally:
        recorder.reset(token)


class _Remembering:
    """Takes direct calls of steps: from the cache, or run here and kept."""

    def __init__(self, cache_dir: str | Path | None, location: Location) -> None:
        file = Path(location.file)
        self._root = find_root(file if file.exists() else Path.cwd())
        self._store = open_store(Path(cache_dir) if cache_dir is not None else default_cache_dir(self._root))
        self._fingerprinter = Fingerprinter(self._root)
        self._files = FileDigests(self._root)
        self._fingerprints: dict[int, Any] = {}

    def call(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of one call."""
        token = recorder.set(None)
        try:
            return self._result(step, args, kwargs)
        finally:
            recorder.reset(token)

    def _result(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        layout = Layout()
        layout.call(step, args, kwargs)
        stale: list[Any] = []
        ledger = Ledger(
            layout,
            [0],
            store=self._store,
            fingerprints=self._fingerprint,
            fingerprinter=self._fingerprinter,
            files=self._files,
            now=_now(),
            accepted=accepted_families(self._store),
            on_stale=lambda state, indices: stale.append(state),
        )
        ledger.begin()
        state = ledger.states[0]
        if not stale:
            try:
                return self._store.load(ledger.place_of(_output(layout))[0][0], mmap_mode=step.declared.mmap_mode)
            except MissingEntry:
                pass
        return self._run(ledger, step, state)

    def _run(self, ledger: Ledger, step: Step[..., Any], state: Any) -> Any:
        import sys

        owns = self._fingerprinter.owns_file
        builder = ChunkBuilder(
            ledger,
            self._store,
            str(self._root),
            lambda: source_stamps(owns),
            own_folders(owns, sys.path),
            None,
            False,
            False,
        )
        chunk = builder.build(StepQueue(step), [(state, 0)])
        chunk.work.in_main = True
        receipt = run_work(chunk.work)
        item = receipt.items[0]
        if item.interrupted:
            raise KeyboardInterrupt
        if item.stored is None:
            assert item.error is not None
            cause = item.error.exception()
            if cause is not None:
                raise cause
            raise StepError(f"{step.name}() failed: {item.error.error_type}: {item.error.message}")
        self._store.sync()
        return self._store.load(item.stored.where, mmap_mode=step.declared.mmap_mode)

    def _fingerprint(self, step: Step[..., Any]) -> Any:
        known = self._fingerprints.get(id(step.function))
        if known is None:
            declared = step.declared
            known = self._fingerprinter.of(
                step.function,
                version=declared.version,
                depends=declared.depends,
                env=declared.env,
                packages=declared.packages,
            )
            self._fingerprints[id(step.function)] = known
        return known


def _now() -> float:
    import time

    return time.time()


def _output(layout: Layout) -> Any:
    from jpipe.layout import Output

    return Output(layout, layout.calls[0])


def load(step: Step[..., R] | str, *args: Any, cache_dir: str | Path | None = None, **kwargs: Any) -> Any:
    """A result from the cache, without running anything.

    Parameters
    ----------
    step
        A step, with the arguments of a call: the result of that call. Or a step (or its name) alone: what its calls
        gave in the last run, one value where there was one call, else a list.
    *args, **kwargs
        The arguments of the call.
    cache_dir
        The cache. Default: ``cache`` in the project of the step's file, or of the current folder for a name.

    Raises
    ------
    CacheMiss
        When the result is not in the cache.
    """
    name = step if isinstance(step, str) else step.name
    store = open_store(_cache_of(step, cache_dir), create=False)
    if args or kwargs:
        if isinstance(step, str):
            raise CacheMiss("arguments need the step itself, not its name", hint=f"jpipe.load({name}, …)")
        return _loaded_call(store, step, args, kwargs)
    values = results_of(store, name)
    return values[0] if len(values) == 1 else values


def results_of(store: Store, name: str) -> list[Any]:
    """What the items of a step gave in the last run that it took part in.

    Raises
    ------
    CacheMiss
        When there is none, or one is gone.
    """
    calls = _last_calls(store, name)
    if not calls:
        raise CacheMiss(f"the cache has no result of {name}", hint="run the pipeline first: jpipe run")
    values: list[Any] = []
    for call in calls:
        values += _values(store, name, call)
    return values


def _values(store: Store, name: str, call: EarlierCall) -> list[Any]:
    family = store.family(call.family)
    records = family.find(call.key)
    if not records:
        raise CacheMiss(f"a result of {name} is not in the cache any more", hint="run the pipeline again: jpipe run")
    try:
        if "items" not in dict(records[0].arguments) or len(records[0].arguments) != 1:
            return [store.load(records[0].where)]
        keys = unpack_keys(store.load(records[0].where))
        return [store.load(found[0].where) for found in family.find_many(keys)]
    except (MissingEntry, IndexError):
        raise CacheMiss(f"a result of {name} is damaged or gone", hint="run the pipeline again: jpipe run") from None


def _last_calls(store: Store, name: str) -> list[EarlierCall]:
    history = History(store)
    runs = [run for run in history.last_runs() if run.calls.get(name)]
    calls = max(runs, key=lambda run: run.when).calls[name] if runs else []
    return [call for call in calls if call.has_result] or list(calls)


def _loaded_call(store: Store, step: Step[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    layout = Layout()
    layout.call(step, args, dict(kwargs))
    root = store.root.parent
    fingerprinter = Fingerprinter(find_root(root))
    declared = step.declared
    fingerprint = fingerprinter.of(
        step.function, version=declared.version, depends=declared.depends, env=declared.env, packages=declared.packages
    )
    ledger = Ledger(
        layout,
        [0],
        store=store,
        fingerprints=lambda _: fingerprint,
        fingerprinter=fingerprinter,
        files=FileDigests(root),
        now=_now(),
        accepted=accepted_families(store),
    )
    ledger.begin()
    if not ledger.states[0].is_done:
        raise CacheMiss(
            f"the cache has no result of this call of {step.name}", hint="run the pipeline first: jpipe run"
        )
    try:
        return store.load(ledger.place_of(_output(layout))[0][0], mmap_mode=declared.mmap_mode)
    except MissingEntry:
        raise CacheMiss(
            f"the result of this call of {step.name} is damaged or gone", hint="run the pipeline again"
        ) from None


def _cache_of(step: Step[..., Any] | str, cache_dir: str | Path | None) -> Path:
    if cache_dir is not None:
        return Path(cache_dir)
    code = getattr(getattr(step, "function", None), "__code__", None)
    file = Path(code.co_filename) if code is not None else Path.cwd()
    return default_cache_dir(find_root(file if file.exists() else Path.cwd()))
