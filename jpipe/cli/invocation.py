"""One call of a command about a pipeline: its settings, the pipeline it means, and the papers it writes to."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jpipe.cli.commands import COMMANDS
from jpipe.cli.targets import Place, place_of
from jpipe.errors import UsageError
from jpipe.render.commands import Commands
from jpipe.render.terminal import Paper
from jpipe.settings import Settings, settings_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jpipe.define.pipeline import Pipeline

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
    sets
        The ``--set`` texts.
    cache_flag
        What ``--cache-dir`` says.
    """

    place: Place
    settings: Settings
    sets: tuple[str, ...] = ()
    cache_flag: str = ""

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return self.place.file or self.settings.file

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that were named."""
        return self.place.steps

    @cached_property
    def pipeline(self) -> Pipeline[..., Any]:
        """The pipeline, imported; what its file prints meanwhile is not part of what the command gives."""
        from jpipe.define import loader

        with contextlib.redirect_stdout(sys.stderr):
            return loader.load(self.file, self.place.pipeline)

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The values of ``--set``, by the pipeline's annotations."""
        texts = _pairs(self.sets)
        if not texts:
            return {}
        from jpipe.define import parameters

        return parameters.parse(self.pipeline, texts)

    @property
    def cache_dir(self) -> Path:
        """The folder of the cache."""
        from jpipe.system import project

        return self.settings.cache_dir or project.default_cache_dir(project.find_root(self.file))

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
        return Commands(frozenset(COMMANDS), where, self.sets, self.cache_flag)


def invocation(words: Sequence[str], flags: Mapping[str, Any], sets: Sequence[str] = ()) -> Invocation:
    """Read a command line about a pipeline.

    Raises
    ------
    UsageError
        For settings that cannot be used.
    """
    place = place_of(words)
    start = place.file.parent if place.file else Path.cwd()
    return Invocation(place, settings_for(start, flags), tuple(sets), str(flags.get("cache_dir") or ""))


def _pairs(sets: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for text in sets:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise UsageError(f"--set {text}: that is not NAME=VALUE", hint="write for instance --set ks=8,16,32")
        if name.strip() in texts:
            raise UsageError(f"--set {name.strip()} is given twice", hint=f"one list: --set {name.strip()}=8,16,32")
        texts[name.strip()] = value
    return texts
