"""The runs that a command line means: where their journals are, and a row of each."""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING

from jpipe.errors import NothingSelectedError

if TYPE_CHECKING:
    from jpipe.cli.invocation import Invocation
    from jpipe.history.journal_reader import RunRow

__all__ = ["journals_of", "list_hint", "run_meant"]


def list_hint(call: Invocation) -> str:
    """How to see which runs there are."""
    return f"{call.commands.text('history', parameters=False)}  lists the runs"


def run_meant(call: Invocation, rows: list[RunRow], text: str) -> RunRow:
    """The run that somebody means by ``12``, ``-1`` or the beginning of its name.

    Raises
    ------
    NothingSelectedError
        When there is none, or several.
    """
    from jpipe.history.journal_reader import find_run

    return find_run(rows, text, list_hint(call))


def journals_of(call: Invocation) -> tuple[str, list[RunRow]]:
    """Where the journals are, and the runs of the pipelines that a command line means.

    Raises
    ------
    NothingSelectedError
        When there are none.
    """
    from jpipe.history.journal_reader import runs
    from jpipe.history.run_index import checkout_of, journal_folder
    from jpipe.system.project import find_root

    folder = journal_folder(call.cache_dir)
    file = call.file.resolve()
    root = find_root(file)
    name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    everything = runs(folder)
    rows = [row for row in everything if row.pipeline.rpartition(":")[0] == name]
    if not rows and call.place.file is None:
        rows = everything
    if call.place.pipeline is not None:
        rows = [row for row in rows if row.pipeline.rpartition(":")[2] == call.place.pipeline]
    here = checkout_of(root)
    if any(row.checkout == here for row in rows):
        # Another checkout may use this cache: its runs gave other results than those of the files here.
        rows = [row for row in rows if row.checkout in ("", here)]
    if not rows:
        raise NothingSelectedError("there is no run yet", hint=f"{call.commands.text('run')}  makes one")
    return folder, rows


_OF_PARAMETERS = ("--set", "--params", "--profile", "--sweep")


def parameters_of(folder: str, row: RunRow) -> tuple[tuple[str, str], ...]:
    """The flags with which a command means a run's own parameters: as they were typed, else as the run noted them."""
    from jpipe.history.journal_reader import log_of

    command = log_of(folder, row.run).start.get("command")
    words = [word for word in command if isinstance(word, str)] if isinstance(command, list) else []
    typed = [*itertools.pairwise(words), *(word.split("=", 1) for word in words if "=" in word)]
    found = tuple((flag, text) for flag, text in typed if flag in _OF_PARAMETERS)
    if found or not row.given:
        return found
    return tuple(("--set", f"{name}={_as_typed(row.parameters[name])}") for name in row.given if name in row.parameters)


def _as_typed(text: str) -> str:
    """A value as one types it: a text without its quotes."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str) else text
