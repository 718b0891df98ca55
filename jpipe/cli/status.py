"""``jpipe status``: in a few lines, what is up to date."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import invocation
from jpipe.cli.plan import plan_for
from jpipe.outcomes import ExitCode
from jpipe.render.lines import dim, line
from jpipe.render.plans import status_line

__all__ = ["command"]


@click.command("status")
@flags.PLACE
@click.option("--check", is_flag=True, help="Exit 4 if a run would have something to do.")
@flags.settings("cache_dir")
@flags.SET
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; for use with --check.")
@flags.JSON
def command(
    words: tuple[str, ...], sets: tuple[str, ...], check: bool, quiet: bool, as_json: bool, **options: Any
) -> int:
    """Say in a few lines what is up to date, without running anything."""
    call = invocation(words, flags.flags_of(options), sets)
    plan = plan_for(call)
    if as_json:
        json.dump(plan.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif not quiet:
        why = None if plan.up_to_date else call.commands.text("plan", "--why")
        call.out.write(status_line(plan), *([line(dim(f"{why}  for reasons"))] if why else []))
    return ExitCode.OUT_OF_DATE if check and not plan.up_to_date else ExitCode.OK
