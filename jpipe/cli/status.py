"""``jpipe status``: in a few lines, what is up to date."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import invocation
from jpipe.cli.plan import plan_for
from jpipe.errors import ExitCode
from jpipe.history.run_index import ROWS, journal_folder
from jpipe.render.humanize import ago
from jpipe.render.plan_text import complaint_lines, status_line
from jpipe.render.styled_text import dim, line
from jpipe.system import safe_paths as inside

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["command"]


@click.command("status")
@flags.PLACE
@click.option("--check", is_flag=True, help="Exit 4 if a run would have something to do.")
@flags.settings("cache_dir")
@flags.parameters
@click.option("-q", "--quiet", is_flag=True, help="Print nothing; for use with --check.")
@flags.JSON
def command(words: tuple[str, ...], given: Given, check: bool, quiet: bool, as_json: bool, **options: Any) -> int:
    """Say in a few lines what is up to date, without running anything."""
    call = invocation(words, flags.flags_of(options), given)
    plan = plan_for(call)
    call.err.write(*complaint_lines(plan))
    if as_json:
        json.dump(plan.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
    elif not quiet:
        why = None if plan.up_to_date else call.commands.text("plan", "--why")
        facts = [_last_run(call.cache_dir, plan.pipeline), f"{why}  for reasons" if why else ""]
        call.out.write(status_line(plan), *(line(dim(fact)) for fact in facts if fact))
    return ExitCode.OUT_OF_DATE if check and not plan.is_settled else ExitCode.OK


def _last_run(cache: Path, pipeline: str) -> str:
    """When the pipeline ran last and what came of it; nothing where no row tells."""
    try:
        lines = inside.read(f"{journal_folder(cache)}/{ROWS}").decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for text in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            row = json.loads(text)
            if row["pipeline"].rpartition(":")[2] == pipeline:
                outcome = "ok" if row["outcome"] in ("ran", "cached") else row["outcome"]
                return f"last run {ago(time.time() - row['when'])}, {outcome}"
    return ""
