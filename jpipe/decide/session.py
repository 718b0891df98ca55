"""A session: a project with its cache, and everything that is asked of both."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jpipe.decide.argument_rules import rules_of
from jpipe.decide.call_state import CallState
from jpipe.decide.executed_families import ExecutedFamilies, counts_what_ran
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.record_lookup import RecordLookup
from jpipe.decide.remote_cache import remote_of
from jpipe.define.layout import Layout
from jpipe.define.step import Step
from jpipe.files import FileDigests
from jpipe.fingerprint import Fingerprint, Fingerprinter
from jpipe.history.acceptance import accepted_families
from jpipe.settings import settings_for
from jpipe.store import Store
from jpipe.system.code_tracer import tracer
from jpipe.system.project import default_cache_dir, find_root

__all__ = ["Session"]


class Session:
    """A project with its cache: whoever runs, loads, remembers or debugs asks the same one.

    Parameters
    ----------
    place
        A file or folder of the project. What is not there, such as the "file" of an interactive session, stands for the
        current folder.
    cache_dir
        The cache. Default: what the settings say, else ``cache`` in the project.
    create
        Whether to make the cache where there is none.

    Attributes
    ----------
    root
        The project.
    settings
        What ``pyproject.toml`` and the environment say.
    is_new
        Whether the cache was not there when the session began.
    """

    def __init__(self, place: str | Path, cache_dir: str | Path | None = None, *, create: bool = True) -> None:
        place = Path(place)
        self.root = find_root(place if place.exists() else Path.cwd())
        self.settings = settings_for(self.root, {"cache_dir": cache_dir})
        self._folder = self.settings.cache_dir or default_cache_dir(self.root)
        self._create = create
        self.is_new = not self._folder.exists()
        self._fingerprints: dict[int, tuple[Step[..., Any], Fingerprint]] = {}

    @functools.cached_property
    def store(self) -> Store:
        """The cache, opened when it is first asked for.

        Raises
        ------
        CacheError
            When it cannot be used, or the key of the remote cache cannot.
        """
        store = Store.open(self._folder, create=self._create)
        store.remote = remote_of(store, self.settings)
        return store

    @functools.cached_property
    def files(self) -> FileDigests:
        """Digests of the project's files."""
        return FileDigests(self.root, self._folder, self._code_of_import)

    def _code_of_import(self, path: str) -> bytes:
        return self.fingerprinter.of_import(path)

    @functools.cached_property
    def fingerprinter(self) -> Fingerprinter:
        """Digests the user's code; what parsing tells is kept in the cache, where there is one."""
        if self.is_new and not self._create:
            return Fingerprinter(self.root)
        return Fingerprinter(self.root, self.store.parsed, key=self.store.disk.key.secret)

    def fingerprint(self, step: Step[..., Any]) -> Fingerprint:
        """The fingerprint of a step's code."""
        known = self._fingerprints.get(id(step))
        if known is None:
            declared = step.declared
            packages = declared.packages if isinstance(declared.packages, str) else tuple(declared.packages)
            found = self.fingerprinter.of(
                step.function, version=declared.version, depends=declared.depends, env=declared.env, packages=packages
            )
            # With the step, so that no other object can get its id.
            known = self._fingerprints[id(step)] = step, found
        return known[1]

    def look_anew(self) -> None:
        """Fingerprint code afresh from now on: something that it reaches has changed."""
        self.__dict__.pop("fingerprinter", None)
        self._fingerprints.clear()

    def follows_code(self, step: Step[..., Any]) -> bool:
        """Whether of the code that a step reaches only what runs is to count, and that can be told here."""
        return tracer.saw_imports and counts_what_ran(step, self.settings.code)

    def state_of(
        self,
        layout: Layout,
        wanted: Iterable[int] | None = None,
        *,
        forced: Iterable[str] = (),
        known: Mapping[int, CallState] | None = None,
        distrusted: set[bytes] | None = None,
        **options: Any,
    ) -> PipelineState:
        """What is known of the calls of a layout.

        Parameters
        ----------
        wanted
            Numbers of the calls that take part. Default: all.
        forced, distrusted
            As in `RecordLookup`.
        known
            Calls that are done, by number: about them nothing is decided again.
        **options
            As in `PipelineState`.
        """
        accepted = accepted_families(self.store)
        calls = layout.calls if wanted is None else [layout.calls[number] for number in sorted(wanted)]
        known = known or {}
        states = {
            call.number: known.get(call.number)
            or CallState(call, self.fingerprint(call.step), rules_of(call.step, self.fingerprinter))
            for call in calls
        }
        if self.store.remote is not None:
            own = [state.fingerprint.digest for state in states.values()]
            self.store.remote.bring([*own, *(older for digest in own for older in accepted.get(digest, ()))])
        lookup = RecordLookup(
            states,
            self.store,
            self.files,
            now=time.time(),
            forced=forced,
            accepted=accepted,
            executed=ExecutedFamilies(self.store, self.settings.code),
            distrusted=distrusted,
        )
        return PipelineState(layout, states, lookup, self.fingerprint, self.fingerprinter, **options)
