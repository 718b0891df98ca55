"""The commands there are, and the line that ``jpipe --help`` shows of each, so that help loads none of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from jpipe.errors import UsageError, nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "COMPLETING", "LazyGroup", "ReaderLeft"]

COMPLETING = "_JPIPE_COMPLETE"
"""The variable by which a shell asks click for completions of ``jpipe``."""

COMMANDS = {
    "run": "Bring a pipeline up to date.",
    "plan": "Say what a run would do, and why.",
    "status": "Say in a few lines what is up to date.",
    "graph": "Draw the steps and what each needs.",
    "explain": "Say what a step watches, takes and gives.",
    "show": "Print a result from the cache.",
    "log": "Show what items printed, and what they failed with.",
    "debug": "Run one item with its real inputs under the debugger.",
    "accept": "Keep the old results of a step despite an edit.",
    "diff": "Say what an edit did to the results.",
    "report": "Write what a run did and gave as one HTML page.",
    "watch": "Run the pipeline whenever one of its files is saved.",
    "ui": "Look at runs, results and differences in a browser.",
    "history": "List the runs, and compare two of them.",
    "check": "Find mistakes in a pipeline file before it runs.",
    "cache": "Look at the cache, and clean it.",
    "schema": "Print the JSON Schema of the events of run --json.",
    "init": "Write a first pipeline file.",
}
"""In the order of help; the module of that name in this package holds the `command`."""


class ReaderLeft(Exception):
    """Whoever read the output has closed the pipe."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    Attributes
    ----------
    prepare
        What is done to a command before it is used: completion teaches its parameters what they may become.
    """

    prepare: Callable[[click.Command], click.Command] | None = None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"jpipe.cli.{cmd_name}").command
        return self.prepare(command) if self.prepare is not None else command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """The commands that begin so, none of them loaded; and the options of the group itself."""
        from click.shell_completion import CompletionItem

        commands = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; click would answer a closed pipe with exit code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderLeft from error

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """The command that `args` begin with; one that does not exist is answered with the nearest."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import shlex  # not for commands that there are

            near = nearest(name, COMMANDS)
            looks_like_file = name.endswith(".py") or ".py:" in name
            meant = shlex.join(["jpipe", "run", name]) if looks_like_file else near
            hint = f"did you mean {meant}?" if meant else f"there are {', '.join(COMMANDS)}"
            raise UsageError(f"there is no command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with their lines of help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
