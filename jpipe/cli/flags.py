"""The flags that several commands have, derived from the declared settings where they are settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from jpipe.settings import SETTINGS, Setting

__all__ = ["FORCE", "JSON", "PLACE", "QUIET", "SET", "flags_of", "settings"]

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

PLACE = click.argument("words", nargs=-1, metavar="[FILE][:PIPELINE] [STEP]...")
SET = click.option(
    "--set", "sets", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline; may be repeated."
)
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
