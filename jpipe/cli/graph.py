"""``jpipe graph``: the steps and what each needs, as text, picture, page, Mermaid, Graphviz or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.flags import Given
from jpipe.cli.invocation import invocation
from jpipe.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from jpipe.define.graph import Graph

__all__ = ["command"]

_BY_SUFFIX = {
    ".svg": "svg",
    ".png": "png",
    ".html": "html",
    ".htm": "html",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".md": "markdown",
    ".dot": "dot",
    ".gv": "dot",
    ".json": "json",
}


@click.command("graph")
@flags.PLACE
@click.option("--mermaid", "form", flag_value="mermaid", help="Write Mermaid, which GitHub draws.")
@click.option("--dot", "form", flag_value="dot", help="Write Graphviz's language.")
@click.option("--json", "form", flag_value="json", help="Write JSON.")
@click.option("-o", "--output", metavar="FILE", help="Write to a file, whose ending says the form.")
@flags.settings("cache_dir")
@flags.parameters
def command(words: tuple[str, ...], given: Given, form: str | None, output: str | None, **options: Any) -> int:
    """Draw the steps and what each needs, with what is up to date."""
    call = invocation(words, flags.flags_of(options), given)
    form = form or _form_of(output)
    from jpipe import api

    if output is not None and form in ("svg", "png", "html"):
        from jpipe.report.graph_file import write_graph

        plan = api.plan(call.pipeline, call.parameters, targets=call.steps, cache_dir=call.settings.cache_dir)
        write_graph(Path(output), plan, form)
        return ExitCode.OK
    if form is None:
        from jpipe.render.graph_text import graph_lines

        plan = api.plan(call.pipeline, call.parameters, targets=call.steps, cache_dir=call.settings.cache_dir)
        call.out.write(*graph_lines(plan.steps, call.out.width))
        return ExitCode.OK
    text = _written(api.graph(call.pipeline, call.parameters), form)
    if output is None:
        click.echo(text)
        return ExitCode.OK
    try:
        Path(output).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write {output}: {error.strerror}", hint="name a file in a folder that exists"
        ) from None
    return ExitCode.OK


def _form_of(output: str | None) -> str | None:
    if output is None:
        return None
    form = _BY_SUFFIX.get(Path(output).suffix.lower())
    if form is None:
        raise UsageError(f"-o {output}: no form goes by that ending", hint=f"end it in {', '.join(_BY_SUFFIX)}")
    return form


def _written(graph: Graph, form: str) -> str:
    if form == "json":
        return json.dumps(graph.to_json(), indent=2)
    if form == "dot":
        return graph.to_dot().rstrip()
    mermaid = graph.to_mermaid().rstrip()
    return f"```mermaid\n{mermaid}\n```" if form == "markdown" else mermaid
