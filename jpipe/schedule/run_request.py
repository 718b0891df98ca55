"""What is asked of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.decide.instant.answer import Asked
from jpipe.define.pipeline import Pipeline
from jpipe.model.events import Observer
from jpipe.settings import Settings

__all__ = ["RunRequest"]


class RunRequest(NamedTuple):
    """What is asked of a run; the fields are the parameters of `jpipe.run`, which says what they mean."""

    pipeline: Pipeline[..., Any]
    parameters: Mapping[str, Any] | None = None
    targets: Sequence[str] = ()
    n_jobs: int | None = None
    backend: str | None = None
    backend_options: Mapping[str, Any] | None = None
    cache_dir: Path | str | None = None
    keep_going: bool = False
    fail_fast: bool = False
    force: Iterable[str] = ()
    items: Sequence[int] | None = None
    failed: bool = False
    frozen: bool = False
    observer: Observer | None = None
    detailed: bool = False
    capture: bool = True
    asked: Asked | None = None

    @property
    def is_partial(self) -> bool:
        """Whether only some of the stale items may run."""
        return self.failed or self.items is not None

    def with_settings(self, settings: Settings) -> RunRequest:
        """The request with the project's settings where it says nothing of the workers."""
        n_jobs = settings.jobs if self.n_jobs is None else self.n_jobs
        force = tuple(self.force)
        if self.backend is not None:
            return self._replace(n_jobs=n_jobs, force=force)
        options = {**settings.backend_options, **(self.backend_options or {})}
        return self._replace(n_jobs=n_jobs, force=force, backend=settings.backend, backend_options=options)

    def for_its_value(self) -> RunRequest:
        """The request that computes results again that were lost after the run: without selection or observer."""
        return self._replace(
            force=(), items=None, failed=False, frozen=False, observer=None, detailed=False, asked=None
        )
