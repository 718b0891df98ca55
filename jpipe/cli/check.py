"""``jpipe check``: mistakes in a pipeline file, found before it runs."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.plan import plan_for
from jpipe.define.step_advice import advice_of, steps_inside, yields
from jpipe.errors import ExitCode, WiringError
from jpipe.render.source_excerpt import excerpt, place
from jpipe.render.styled_text import Line, bad, good, line, name, warn
from jpipe.system.machine import workers_of

if TYPE_CHECKING:
    from jpipe.cli.lint import Finding
    from jpipe.decide.call_state import CallState
    from jpipe.decide.file_traffic import HiddenInput
    from jpipe.decide.pipeline_session import PipelineSession
    from jpipe.define.pipeline import Pipeline
    from jpipe.define.step import Step
    from jpipe.fingerprint import Unseen

__all__ = ["command"]


@click.command("check")
@flags.PLACE
@flags.settings("cache_dir")
@flags.parameters
@click.option("--frozen", is_flag=True, help="Exit 4 if a run would have something to do.")
@flags.JSON
def command(words: tuple[str, ...], given: Given, frozen: bool, as_json: bool, **options: Any) -> int:
    """Find mistakes before anything runs: results used as values while the pipeline is laid out, wrong wiring.

    Also says what jpipe cannot see change. Exit 3 when the pipeline could not run.
    """
    call = invocation(words, flags.flags_of(options), given)
    mistakes = _mistakes(call)
    unseen: dict[str, tuple[Unseen, ...]] = {}
    steps: list[Step[..., Any]] = []
    obstacles: list[str] = []
    handed_on: list[HiddenInput] = []
    if not mistakes and _has_all_parameters(call):
        from jpipe.decide.instant.leave_answer import obstacles as obstacles_of
        from jpipe.decide.pipeline_session import PipelineSession

        session = PipelineSession(call.pipeline, call.parameters, call.settings.cache_dir, create=False)
        unseen, obstacles = _unseen(session), obstacles_of(session)
        steps = list({one.step.name: one.step for one in session.layout.calls}.values())
        handed_on = [] if session.is_new else _paths_as_text(session)  # without a cache there are no results to look at
    if as_json:
        nested = {step.name: inner for step in steps if (inner := steps_inside(step))}
        generators = [step.name for step in steps if yields(step)]
        more = {"no_instant_answer": obstacles, "nested": nested, "generators": generators}
        document = {**_document(mistakes, unseen, handed_on), **more}
        click.echo(json.dumps(document, indent=2))
    else:
        call.out.write(*_lines(call, mistakes, unseen))
        for advice in (one for step in steps for one in advice_of(step)):
            call.out.write(line(warn("! "), advice.text), line(f"    {advice.remedy}"))
        call.out.write(*(line(warn("! "), _sentence(one)) for one in handed_on))
        if obstacles:
            call.out.write(line(warn("! "), "the file is imported at every run, because of"))
            call.out.write(*(line(f"    {text}") for text in obstacles))
    if mistakes or not frozen:
        return ExitCode.NOT_LOADED if mistakes else ExitCode.OK
    return _frozen(call, as_json=as_json)


def _frozen(call: Invocation, *, as_json: bool) -> int:
    """Whether a run would have nothing to do; else what, and why."""
    plan = plan_for(call)
    if not as_json and not plan.is_settled:
        from jpipe.render.plan_text import why_lines

        call.out.write(*why_lines(plan, workers_of(call.settings.jobs or -1), call.commands))
    elif not as_json:
        call.out.write(line(good("✓ "), name(plan.pipeline), " is up to date"))
    return ExitCode.OK if plan.is_settled else ExitCode.OUT_OF_DATE


def _mistakes(call: Invocation) -> list[Finding]:
    """What the lint finds in all pipelines of the file; else what laying out the one that was meant finds."""
    from jpipe.cli.lint import Finding, findings

    found = [finding for pipeline in _pipelines(call.pipeline) for finding in findings(pipeline)]
    if found or not _has_all_parameters(call):
        return found
    from jpipe.decide.pipeline_session import lay_out

    try:
        lay_out(call.pipeline, call.parameters)
    except WiringError as error:
        if error.location is None:
            raise
        return [Finding(error.location, error.message, error.hint or "")]
    return []


def _pipelines(meant: Pipeline[..., Any]) -> list[Pipeline[..., Any]]:
    values = meant.function.__globals__.values()
    return [value for value in values if isinstance(value, type(meant)) and value.file == meant.file]


def _has_all_parameters(call: Invocation) -> bool:
    """Whether the pipeline could be laid out with what was given; one without defaults is only linted."""
    parameters = call.pipeline.parameters.parameters.values()
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty and one.kind not in kinds]
    return all(parameter in call.parameters for parameter in needed)


def _unseen(session: PipelineSession) -> dict[str, tuple[Unseen, ...]]:
    """By step, what its fingerprint cannot see, and where what runs counts, that does not show either."""
    from jpipe.decide.executed_families import unseen_of

    steps = {one.step.name: one.step for one in session.layout.calls}
    code = session.settings.code
    prints = {name: session.fingerprint(step) for name, step in steps.items()}
    if session.is_new:  # nothing ran here yet
        found = {name: fingerprint.unseen for name, fingerprint in prints.items()}
    else:
        found = {name: unseen_of(session.store, step, prints[name], code) for name, step in steps.items()}
    return {name: unseen for name, unseen in found.items() if unseen}


def _paths_as_text(session: PipelineSession) -> list[HiddenInput]:
    """The paths that the results in the cache hand on as texts."""
    from jpipe.store import UnreadableEntry

    state = session.state()
    state.begin()

    def load(one: CallState) -> Any:
        place = next(iter(one.places or ()), None) or (one.record.where if one.record is not None else None)
        try:
            return None if place is None else session.store.load(place)
        except UnreadableEntry:
            return None

    return list(state.traffic.paths_as_text(load))


def _sentence(found: HiddenInput) -> str:
    return (
        f"{found.reader}() gets the path of {found.path}, which {found.writer}() writes, as a text:"
        " as jpipe.File(path) its content counts wherever it goes"
    )


def _lines(call: Invocation, mistakes: list[Finding], unseen: Any) -> list[Line]:
    lines: list[Line] = []
    for one in mistakes:
        lines += [
            line(bad("✗ "), one.text),
            *([line(f"  {one.hint}")] if one.hint else []),
            line("  ", name(place(one.location.file, one.location.line))),
            *excerpt(one.location.file, one.location.line, before=0),
        ]
    from jpipe.render.step_details import unseen_lines

    for step, spots in (unseen or {}).items():
        lines.append(line(warn("! "), "of ", name(step), " this cannot be watched:"))
        lines += [line("  ", one) for one in unseen_lines(spots)]
    if not mistakes:
        lines.append(line(good("✓ "), name(call.pipeline.name), " can be laid out"))
    return lines


def _document(mistakes: list[Finding], unseen: Any, handed_on: list[HiddenInput]) -> dict[str, Any]:
    return {
        "v": 1,
        "mistakes": [
            {"file": one.location.file, "line": one.location.line, "text": one.text, "hint": one.hint}
            for one in mistakes
        ],
        "unseen": [
            {"step": step, "what": one.what, "name": one.name, "file": one.file, "line": one.line, "remedy": one.remedy}
            for step, spots in (unseen or {}).items()
            for one in spots
        ],
        "paths_as_text": [{"path": one.path, "writer": one.writer, "reader": one.reader} for one in handed_on],
    }
