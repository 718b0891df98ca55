"""``jpipe watch``: run the pipeline whenever one of its files is saved."""

from __future__ import annotations

import os
from pathlib import Path

import click

from jpipe.cli import flags
from jpipe.cli.invocation import invocation
from jpipe.errors import ExitCode, UsageError
from jpipe.render.styled_text import dim, line, name
from jpipe.system.machine import workers_of
from jpipe.system.project import find_root

__all__ = ["command"]

_LOOK = 50
"""Milliseconds between looks at the run that is going on."""


@click.command("watch", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[RUN OPTIONS] [FILE][:PIPELINE] [STEP]...")
def command(arguments: tuple[str, ...]) -> int:
    """Run the pipeline now and whenever one of its files is saved; takes the options of jpipe run. Ctrl-C ends it.

    A save stops the run that is going on: what finished is kept, items that the edit does not concern go on, and the
    next run does only what the edit made necessary. The user's modules are imported anew for each run, in a process
    that has imported the packages already.
    """
    try:
        import watchfiles
    except ImportError:
        hint = "pip install watchfiles"
        raise UsageError("jpipe watch needs the package watchfiles, which is not installed", hint=hint) from None
    from jpipe.cli.run import command as run
    from jpipe.cli.watch_loop import Watcher, wants_run

    options = run.make_context("run", list(arguments)).params  # refuses what run refuses, before anything starts
    call = invocation(options["words"], flags.flags_of(options))
    root = find_root(call.file)
    cache = str(call.cache_dir.resolve())

    class Filter(watchfiles.DefaultFilter):
        """What an editor, Git or jpipe itself writes is none of the pipeline's files."""

        def __call__(self, change: watchfiles.Change, path: str) -> bool:
            hidden = any(part.startswith(".") for part in Path(os.path.relpath(path, root)).parts)
            return not hidden and not path.startswith(cache) and super().__call__(change, path)

    call.err.write(line("watching ", name(str(root)), dim("  Ctrl-C stops")))
    jobs = 1 if call.settings.backend not in (None, "preloaded") else workers_of(call.settings.jobs or -1)
    watcher = Watcher(call.file, arguments, jobs, call.err)
    try:
        watcher.saved(())
        for changes in watchfiles.watch(
            root, watch_filter=Filter(), step=20, debounce=400, rust_timeout=_LOOK, yield_on_timeout=True
        ):
            paths = [path for _, path in changes if wants_run(path, watcher.ran_until)]
            if paths:
                watcher.saved(paths)
            watcher.look()
    except KeyboardInterrupt:
        pass
    finally:
        watcher.close()
    return ExitCode.OK
