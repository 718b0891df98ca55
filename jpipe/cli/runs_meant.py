"""The runs that a command line means: where their journals are, and a row of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpipe.errors import NothingSelectedError

if TYPE_CHECKING:
    from jpipe.cli.invocation import Invocation
    from jpipe.history.journal_reader import RunRow

__all__ = ["journals_of"]


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
        raise NothingSelectedError("there is no run yet", hint=f"{call.commands.text('run')} makes one")
    return folder, rows
