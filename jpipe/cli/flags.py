"""The flags that several commands have, derived from the declared settings where they are settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import click

from jpipe.settings import SETTINGS, Setting

__all__ = ["FORCE", "JSON", "PLACE", "QUIET", "Given", "flags_of", "parameters", "settings"]

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

PLACE = click.argument("words", nargs=-1, metavar="[FILE][:PIPELINE] [STEP]...")


class Given(NamedTuple):
    """Where parameters of the pipeline come from, the weakest first.

    Parameters
    ----------
    profile
        A profile of pyproject.toml, or None.
    files
        Files with parameters.
    sets
        ``NAME=VALUE`` texts.
    sweeps
        ``NAME=A,B,C`` texts: the pipeline for each of the values.
    tags, excluded
        Tags of the steps that are meant, and names or patterns of those that are not.
    """

    profile: str | None = None
    files: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...]:
        """What tags and exclusions choose, in the words of `jpipe.define.selection`."""
        return (*(f"tag:{tag}" for tag in self.tags), *(f"exclude:{name}" for name in self.excluded))

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        """The flags with their values, as the next command has to repeat them."""
        profile = [("--profile", self.profile)] if self.profile else []
        named = {
            "--params": self.files,
            "--set": self.sets,
            "--sweep": self.sweeps,
            "--tag": self.tags,
            "--exclude": self.excluded,
        }
        return (*profile, *((flag, text) for flag, texts in named.items() for text in texts))


def parameters(command: Command) -> Command:
    """The flags that say which parameters and which steps, as the one argument `given` of the command."""

    @functools.wraps(command)
    def gathered(*args: Any, **options: Any) -> Any:
        given = Given(*(options.pop(name) for name in Given._fields))
        return command(*args, given=given, **options)

    for option in (
        click.option("--exclude", "excluded", multiple=True, metavar="STEP", help="Not this step, nor what needs it."),
        click.option("-t", "--tag", "tags", multiple=True, metavar="TAG", help="Only steps with this tag."),
        click.option("--sweep", "sweeps", multiple=True, metavar="NAME=A,B", help="The pipeline for each value."),
        click.option("--profile", metavar="NAME", help="Settings and parameters of [tool.jpipe.profiles.NAME]."),
        click.option("--params", "files", multiple=True, metavar="FILE", help="Parameters from TOML, YAML or JSON."),
        click.option("--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline."),
    ):
        gathered = option(gathered)
    return cast(Command, gathered)


FORCE = click.option("-f", "--force", multiple=True, metavar="STEP", help="Run this step again; may be repeated.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")


def settings(*names: str) -> Callable[[Command], Command]:
    """The flags of these settings and of ``--color``, as parameters of the command under the settings' names."""

    def decorate(command: Command) -> Command:
        for name in reversed((*names, "color")):
            command = _option(SETTINGS[name])(command)
        return command

    return decorate


def flags_of(values: dict[str, Any]) -> dict[str, Any]:
    """The flags among a command's arguments that are settings."""
    return {name: value for name, value in values.items() if name in SETTINGS}


def _option(setting: Setting) -> Callable[[Command], Command]:
    """Values are checked together with those of the file and the environment, so click takes them as text."""
    if "/" in setting.flags[-1]:
        return click.option(*setting.flags, setting.name, default=None, help=setting.help)
    metavar = "|".join(setting.choices) or ("N" if setting.name == "jobs" else None)
    repeated = setting.name == "backend_options"
    return click.option(
        *setting.flags, setting.name, type=str, multiple=repeated, metavar=metavar, default=None, help=setting.help
    )
