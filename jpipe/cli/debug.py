"""``jpipe debug``: one item of a step, with its real inputs, under a debugger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import Invocation, invocation
from jpipe.errors import ExitCode, UsageError
from jpipe.render.printed_commands import loading_arguments
from jpipe.render.styled_text import columns, dim, good, line, name, strong

if TYPE_CHECKING:
    from jpipe.debugging import PreparedItem

__all__ = ["command"]

_MARK = "# Written by jpipe debug --script"


@click.command("debug")
@flags.PLACE
@click.option("--item", type=int, metavar="N", help="Which item of the step, from 0; default the first that failed.")
@click.option("--trace", is_flag=True, help="Stop at the first line of the step, not only where it raises.")
@click.option(
    "--script",
    is_flag=False,
    flag_value="",
    metavar="[PATH]",
    help="Write a script that an editor's own debugger can run; default debug_STEP_N.py.",
)
@flags.settings("cache_dir")
@flags.parameters
def command(
    words: tuple[str, ...], item: int | None, trace: bool, script: str | None, given: Given, **options: Any
) -> int:
    """Call one item of a STEP in this process, with its inputs from the cache, and open the debugger where it raises.

    Nothing is captured and nothing is stored. PYTHONBREAKPOINT chooses the debugger.
    """
    call = invocation(words, flags.flags_of(options), given)
    if len(call.steps) != 1:
        raise UsageError("name the one step to debug", hint="jpipe debug STEP --item 7")
    from jpipe.debugging import prepare_item

    prepared = prepare_item(call.pipeline, call.parameters, call.steps[0], item, call.settings.cache_dir)
    if script is not None:
        return _write_script(call, prepared, script)
    return _debug(call, prepared, trace)


def _debug(call: Invocation, prepared: PreparedItem, trace: bool) -> int:
    from jpipe.debugging import debug
    from jpipe.model.value_summary import summary_of

    rows = [(line("  "), line(name(n), " = ", summary_of(value))) for n, value in prepared.arguments.items()]
    where = f"   item {prepared.item} of 0-{prepared.items - 1}" if prepared.items > 1 else ""
    call.err.write(line(strong(prepared.label), dim(where)), *columns(rows, gap=0))
    found = debug(prepared, trace=trace)
    if found.error is not None:
        return ExitCode.FAILED
    if not found.was_left:
        call.err.write(line(good("✓ "), "it returned ", summary_of(found.value), dim("   (not stored)")))
    return ExitCode.OK


def _write_script(call: Invocation, prepared: PreparedItem, chosen: str) -> int:
    step = prepared.step.name
    known = step if step.isidentifier() else "step"
    path = Path(chosen or f"debug_{known}_{prepared.item}.py")
    if path.exists() and not path.read_text("utf-8", errors="replace").startswith(_MARK):
        raise UsageError(f"{path} is there already, and jpipe did not write it", hint="rename it")
    arguments = [repr(os.path.realpath(call.file)), repr(step), str(prepared.item)]
    if call.place.pipeline is not None:
        arguments.append(f"pipeline={call.place.pipeline!r}")
    arguments += loading_arguments(call.given.flags)
    if call.settings.cache_dir is not None:
        arguments.append(f"cache_dir={os.path.abspath(call.settings.cache_dir)!r}")
    text = (
        f"{_MARK}: {prepared.label} with its inputs from the cache. Set a breakpoint in the step, and run this.\n"
        "from jpipe.debugging import load_item\n\n"
        f"{known}, args, kwargs = load_item({', '.join(arguments)})\n"
        f"print({known}(*args, **kwargs))\n"
    )
    path.write_text(text, "utf-8")
    call.out.write(line(str(path)))
    return ExitCode.OK
