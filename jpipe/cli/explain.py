"""``jpipe explain``: what a step watches, takes and gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import invocation
from jpipe.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jpipe.fingerprint import Fingerprint, Unseen
    from jpipe.model.plan import StepPlan

__all__ = ["command"]


@click.command("explain")
@flags.PLACE
@click.option("--item", type=int, default=0, metavar="N", help="The item whose key is shown, from 0.")
@flags.settings("cache_dir")
@flags.parameters
@flags.JSON
def command(words: tuple[str, ...], item: int, given: Given, as_json: bool, **options: Any) -> int:
    """Say of a STEP where it is called, what it watches, what it takes and gives, and what cannot be watched."""
    call = invocation(words, flags.flags_of(options), given)
    if len(call.steps) != 1:
        raise UsageError("name the one step to explain", hint="jpipe explain STEP")
    from jpipe.decide.executed_families import counted_functions, unseen_of
    from jpipe.decide.key_parts import key_parts, step_runs
    from jpipe.decide.make_plan import plan_of
    from jpipe.decide.pipeline_session import PipelineSession
    from jpipe.history.journal_reader import runs
    from jpipe.history.run_index import journal_folder

    ready = PipelineSession(call.pipeline, call.parameters, call.settings.cache_dir)
    pipeline_state = ready.state(call.steps)
    pipeline_state.begin()
    row = next(row for row in plan_of(ready, pipeline_state).steps if row.name == call.steps[0])
    calls = [one for one in ready.layout.calls if one.step.name == row.name]
    fingerprint = ready.fingerprint(calls[0].step)
    folder = journal_folder(ready.store.root)
    past = step_runs(folder, [one for one in runs(folder) if one.pipeline == ready.identity], row.name)
    key = key_parts(ready, row.name, item)
    functions = counted_functions(ready.store, calls[0].step, fingerprint, ready.settings.code)
    unseen = unseen_of(ready.store, calls[0].step, fingerprint, ready.settings.code)
    if as_json:
        counted = {"functions": functions.to_json()} if functions is not None else {}
        history = [{"run": one.run.run, "ran": one.ran, "failed": one.failed, "seconds": one.seconds} for one in past]
        click.echo(
            json.dumps(
                {**_document(row, fingerprint, unseen), **counted, "key": key.to_json(), "history": history}, indent=2
            )
        )
        return ExitCode.OK
    from jpipe.render.step_details import explained

    call.out.write(*explained(calls[0].step, calls, fingerprint, row, past, key, unseen, functions))
    return ExitCode.OK


def _document(row: StepPlan, fingerprint: Fingerprint, unseen: Iterable[Unseen]) -> dict[str, Any]:
    watches = [
        {"kind": part.kind.value, "name": part.name, "file": part.file, "line": part.line, "via": part.via}
        for part in fingerprint.parts
    ]
    blind = [
        {"what": one.what, "name": one.name, "file": one.file, "line": one.line, "remedy": one.remedy} for one in unseen
    ]
    known = {"fingerprint": fingerprint.digest.hex(), "watches": watches, "unseen": blind}
    return {"v": 1, **row.to_json(), **known, "environment": list(fingerprint.environment)}
