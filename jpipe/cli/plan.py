"""``jpipe plan``: what a run would do, and why."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.instant import asked, recalled
from jpipe.cli.invocation import Invocation, invocation
from jpipe.errors import ExitCode
from jpipe.system.machine import workers_of

if TYPE_CHECKING:
    from jpipe.model.plan import Plan

__all__ = ["command", "tell_plan"]


@click.command("plan")
@flags.PLACE
@click.option("--why", is_flag=True, help="Show what changed.")
@flags.settings("jobs", "cache_dir")
@flags.FORCE
@flags.parameters
@flags.JSON
def command(
    words: tuple[str, ...], given: Given, force: tuple[str, ...], why: bool, as_json: bool, **options: Any
) -> int:
    """Say what a run would do, and why, without running anything."""
    return tell_plan(invocation(words, flags.flags_of(options), given), force, why=why, as_json=as_json)


def tell_plan(call: Invocation, force: tuple[str, ...], *, why: bool, as_json: bool) -> int:
    """Make the plan and print it to stdout."""
    plan = plan_for(call, force)
    if plan.complaints:
        from jpipe.render.plan_text import complaint_lines

        call.err.write(*complaint_lines(plan))
    if as_json:
        json.dump(plan.to_json(), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return ExitCode.OK
    from jpipe.render.plan_text import plan_lines, why_lines

    tell = why_lines if why else plan_lines
    call.out.write(*tell(plan, workers_of(call.settings.jobs or -1), call.commands))
    return ExitCode.OK


def plan_for(call: Invocation, force: tuple[str, ...] = ()) -> Plan:
    """The plan of what a command asks for; from the instant answer where there is one."""
    question = asked(call)
    answer = None if force else recalled(question)
    if answer is not None:
        from jpipe.model.plan import Plan

        return Plan.from_dict(answer["plan"])
    from jpipe import api

    return api.plan(
        call.pipeline,
        call.parameters,
        targets=call.steps,
        cache_dir=call.settings.cache_dir,
        force=force,
        asked=None if force else question,
    )
