"""``jpipe schema``: the JSON Schema of what ``jpipe run --json`` writes."""

from __future__ import annotations

from importlib.resources import files

import click

from jpipe.errors import ExitCode

__all__ = ["command"]


@click.command("schema")
def command() -> int:
    """Print the JSON Schema of the events of jpipe run --json."""
    click.echo((files("jpipe.render") / "events.schema.json").read_text("utf-8"), nl=False)
    return ExitCode.OK
