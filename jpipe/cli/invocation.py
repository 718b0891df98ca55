"""One call of a command about a pipeline: its settings, the pipeline it means, and the papers it writes to."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.cli.commands import COMMANDS
from jpipe.cli.flags import Given
from jpipe.cli.targets import Place, place_of
from jpipe.errors import UsageError
from jpipe.render.printed_commands import Commands
from jpipe.render.terminal import Paper
from jpipe.settings import Settings, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jpipe.define.pipeline import Pipeline
    from jpipe.define.sweep import Sweep
    from jpipe.store import Store

__all__ = ["Invocation", "invocation"]


@dataclass(frozen=True)
class Invocation:
    """What a command was called with.

    Parameters
    ----------
    place
        File, pipeline and steps as they were typed.
    settings
        Everything configured.
    given
        Where parameters of the pipeline come from.
    cache_flag
        What ``--cache-dir`` says.
    """

    place: Place
    settings: Settings
    given: Given = Given()  # noqa: RUF009 - an immutable tuple
    cache_flag: str = ""

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return self.place.file or self.settings.file

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that were named, in the words of `jpipe.define.selection`."""
        return (*self.place.steps, *self.given.chosen)

    @cached_property
    def pipeline(self) -> Pipeline[..., Any]:
        """The pipeline, imported: for each combination of values where they are swept."""
        return self._loaded if self.sweep is None else self.sweep

    @cached_property
    def _loaded(self) -> Pipeline[..., Any]:
        """The pipeline of the file; what that prints meanwhile is not part of what the command gives."""
        from jpipe.define import loader
        from jpipe.worker.capture import standing_in

        with contextlib.redirect_stdout(sys.stderr), standing_in():
            return loader.load(self.file, self.place.pipeline, self.settings.pythonpath)

    def make_importable(self) -> None:
        """Have what the pipeline file imports found in this process: results may name classes of the user's."""
        from jpipe.define.import_path import make_importable

        make_importable(self.file.resolve(), self.settings.pythonpath)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters of `pipeline`."""
        return self._given if self.sweep is None else {}

    @cached_property
    def _given(self) -> dict[str, Any]:
        """The values of ``--profile``, ``--params`` and ``--set``, by the pipeline's annotations."""
        texts = _pairs(self.given.sets)
        if not texts and not self._values:
            return {}
        from jpipe.define import parameters

        return parameters.given(self._loaded, self._values, texts)

    @cached_property
    def sweep(self) -> Sweep | None:
        """The pipeline for each combination of the values of ``--sweep``, if there are any."""
        if not self.given.sweeps:
            return None
        from jpipe.define import parameters
        from jpipe.define.parameter_text import elements
        from jpipe.define.sweep import Sweep

        varied = {
            name: [parameters.parse(self._loaded, {name: part})[name] for part in elements(values)]
            for name, values in _pairs(self.given.sweeps, "--sweep").items()
        }
        typed = _pairs(self.given.sets)
        for name, values in varied.items():
            if name in typed or not values:
                wrong = "is given by --set and swept" if name in typed else "is swept over no values"
                raise UsageError(
                    f"the parameter {name} {wrong}", hint=f"write for instance --sweep {name}=0.1,1,10 alone"
                )
        fixed = {name: value for name, value in self._given.items() if name not in varied}
        return Sweep(self._loaded, fixed, varied)

    @cached_property
    def _values(self) -> dict[str, Any]:
        """The values that the profile and files give."""
        values = dict(self.settings.parameters)
        if self.given.files:
            from jpipe.define.parameter_files import read_parameters

            for file in self.given.files:
                values |= read_parameters(file)
        return values

    @property
    def asked(self) -> tuple[str, ...]:
        """What the parameters are given as: an instant answer holds for these alone."""
        values = (f"{name}: {value!r}" for name, value in self._values.items())
        return (*self.given.sets, *(f"sweep {text}" for text in self.given.sweeps), *values)

    @property
    def cache_dir(self) -> Path:
        """The folder of the cache."""
        from jpipe.system import project

        return self.settings.cache_dir or project.default_cache_dir(project.find_root(self.file))

    def open_cache(self, *, create: bool = False) -> Store:
        """The cache, with the remote cache behind it."""
        from jpipe.decide.remote_cache import remote_of
        from jpipe.store import Store

        store = Store.open(self.cache_dir, create=create)
        store.remote = remote_of(store, self.settings)
        return store

    @cached_property
    def out(self) -> Paper:
        """Where answers go."""
        return Paper(sys.stdout, self.settings.color)

    @cached_property
    def err(self) -> Paper:
        """Where everything else for people goes."""
        return Paper(sys.stderr, self.settings.color)

    @property
    def commands(self) -> Commands:
        """How to call jpipe again about the same pipeline."""
        typed = str(self.place.file) if self.place.file else ""
        where = f"{typed}:{self.place.pipeline}" if self.place.pipeline else typed
        return Commands(frozenset(COMMANDS), where, self.given.flags, self.cache_flag)


def invocation(words: Sequence[str], flags: Mapping[str, Any], given: Given = Given()) -> Invocation:  # noqa: B008
    """Read a command line about a pipeline.

    Raises
    ------
    UsageError
        For settings that cannot be used.
    """
    place = place_of(words)
    start = place.file.parent if place.file else Path.cwd()
    settings = settings_for(start, flags, profile=given.profile)
    return Invocation(place, settings, given, str(flags.get("cache_dir") or ""))


def _pairs(sets: Sequence[str], flag: str = "--set") -> dict[str, str]:
    texts: dict[str, str] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(f"{flag} {text}: that is not NAME=VALUE", hint=f"write for instance {flag} ks=8,16,32")
        if name.strip() in texts:
            raise UsageError(f"{flag} {name.strip()} is given twice", hint=f"one list: {flag} {name.strip()}=8,16,32")
        texts[name.strip()] = value
    return texts
