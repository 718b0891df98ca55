"""``jpipe accept``: keep the old results of a step despite an edit."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import Invocation, invocation
from jpipe.errors import ExitCode, NothingSelectedError, UsageError
from jpipe.render.humanize import ago, counted
from jpipe.render.styled_text import Line, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from jpipe.decide.accept_proposal import Proposal
    from jpipe.decide.pipeline_session import PipelineSession
    from jpipe.history.acceptance import Acceptance

__all__ = ["command"]


@click.command("accept")
@flags.PLACE
@click.option("-n", "--dry-run", is_flag=True, help="Only show the edit, and what would be kept.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--undo", is_flag=True, help="Take it back: the edit counts again.")
@click.option("--list", "listed", is_flag=True, help="Show everything that was accepted.")
@flags.settings("cache_dir")
@flags.parameters
@flags.JSON
def command(
    words: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    undo: bool,
    listed: bool,
    given: Given,
    as_json: bool,
    **options: Any,
) -> int:
    """Keep the old results of a STEP despite an edit that cannot change them, such as a renamed variable in a message.

    Shows the edit first, and asks. Another edit of the step counts again.
    """
    call = invocation(words, flags.flags_of(options), given)
    if listed:
        return _list(call, as_json)
    if len(call.steps) != 1:
        raise UsageError("name the one step whose results are to be kept", hint="jpipe accept STEP")
    from jpipe.decide.pipeline_session import PipelineSession

    session = PipelineSession(call.pipeline, call.parameters, call.settings.cache_dir, create=False)
    return _undo(call, session) if undo else _accept(call, session, dry_run, yes, as_json)


def _accept(call: Invocation, session: PipelineSession, dry_run: bool, yes: bool, as_json: bool) -> int:
    from jpipe.decide.accept_proposal import propose
    from jpipe.history.acceptance import accept

    proposal = propose(session, call.steps[0])
    if as_json:
        click.echo(json.dumps(proposal.to_json(), indent=2))
    else:
        call.out.write(*_proposal(proposal))
    if dry_run or not _confirmed(call, yes):
        return ExitCode.OK
    accept(session.store, proposal.acceptance)
    undo = call.commands.text("accept", "--undo", call.steps[0])
    call.err.write(line(good("✓ "), f"the old results of {call.steps[0]} count", dim(f"   {undo}  takes it back")))
    return ExitCode.OK


def _confirmed(call: Invocation, yes: bool) -> bool:
    if yes:
        return True
    if not (sys.stdin.isatty() and call.err.is_terminal):
        raise UsageError("this needs an answer, and there is no terminal to ask in", hint="say --yes, or --dry-run")
    return click.confirm(f"keep the old results of {call.steps[0]}?", default=False, err=True)


def _proposal(proposal: Proposal) -> list[Line]:
    from jpipe.render.plan_text import reason_lines

    lines: list[Line] = [line(strong(proposal.acceptance.step))]
    lines += [line("    ", one) for reason in proposal.reasons for one in reason_lines(reason)]
    facts = [f"keeps {counted(proposal.kept, 'old result')} of {counted(proposal.items, 'item')}"]
    facts += [f"{proposal.stale:,} would run: they have none"] if proposal.stale else []
    facts += [f"{proposal.pending:,} wait for what they take"] if proposal.pending else []
    return [*lines, line(" · ".join(facts))]


def _undo(call: Invocation, session: PipelineSession) -> int:
    from jpipe.history.acceptance import take_back

    step = call.steps[0]
    steps = [one.step for one in session.layout.calls if one.step.name == step]
    taken = take_back(session.store, step, session.fingerprint(steps[0]).digest) if steps else []
    taken = taken or take_back(session.store, step)
    if not taken:
        raise NothingSelectedError(
            f"nothing was accepted of {step}", hint=f"{call.commands.text('accept', '--list')}  shows what was"
        )
    call.err.write(line(good("✓ "), f"what was accepted of {step} {ago(time.time() - taken[-1].when)} counts no more"))
    return ExitCode.OK


def _list(call: Invocation, as_json: bool) -> int:
    from jpipe.history.acceptance import acceptances
    from jpipe.store import Store

    folder = call.cache_dir
    found = acceptances(Store.open(folder, create=False)) if folder.exists() else []
    if call.steps:
        found = [one for one in found if one.step in call.steps]
    if as_json:
        rows = [{"step": one.step, **one.to_json()} for one in found]
        click.echo(json.dumps({"v": 1, "accepted": rows}, indent=2))
    else:
        call.out.write(*(_listed(found) or [line("nothing was accepted")]))
    return ExitCode.OK


def _listed(found: list[Acceptance]) -> list[Line]:
    lines: list[Line] = []
    for one in found:
        lines.append(line(name(one.step), dim(f"   {ago(time.time() - one.when)}, code {one.family.hex()[:8]}")))
        lines += [line("    despite: ", warn(text)) for text in one.changed]
    return lines
