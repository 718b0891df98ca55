"""``jpipe cache``: where the cache is, what is in it, and how to make it smaller."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.cache_contents import by_step, families_of, on_cache, open_cache
from jpipe.cli.cache_remote import pull, push, sync
from jpipe.cli.invocation import Invocation
from jpipe.errors import CacheError, ExitCode, UsageError
from jpipe.model.step_options import parse_bytes
from jpipe.render.humanize import ago, counted, foreign_text, size
from jpipe.render.styled_text import Line, bad, columns, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from jpipe.store import Store

__all__ = ["command"]

_MOST_PROBLEMS = 20


@click.group("cache", invoke_without_command=True)
@flags.settings("cache_dir")
@flags.JSON
@click.pass_context
def command(context: click.Context, /, as_json: bool, **options: Any) -> int:
    """Look at the cache, and clean it.

    The cache is the folder cache/ of the project, unless --cache-dir, JPIPE_CACHE_DIR or pyproject.toml say otherwise.
    """
    context.obj = options
    if context.invoked_subcommand is None:
        return int(context.invoke(list_, as_json=as_json))
    if as_json:  # before the command's name, as well as behind it
        context.default_map = {context.invoked_subcommand: {"as_json": True}}
    return ExitCode.OK


for _command in (push, pull, sync):
    command.add_command(_command)


@command.command("dir")
@flags.JSON
@on_cache
def dir_(call: Invocation, as_json: bool) -> int:
    """Print the folder of the cache."""
    folder = os.path.abspath(call.cache_dir)
    click.echo(json.dumps({"v": 1, "cache_dir": folder}) if as_json else folder)
    return ExitCode.OK


@command.command("size")
@flags.JSON
@on_cache
def size_(call: Invocation, as_json: bool) -> int:
    """Print how large the cache is."""
    measured = open_cache(call).size()
    if as_json:
        click.echo(json.dumps({"v": 1, "nbytes": measured.nbytes, "packs": measured.packs, "blobs": measured.blobs}))
    else:
        click.echo(size(measured.nbytes))
    return ExitCode.OK


@command.command("list")
@flags.JSON
@on_cache
def list_(call: Invocation, as_json: bool = False) -> int:
    """List the steps with their results, and what the cache holds in all."""
    store = open_cache(call)
    rows = by_step(store)
    nbytes = store.size().nbytes
    if as_json:
        steps = [{"step": step, "results": use[0], "nbytes": use[1], "used": use[2]} for step, use in rows.items()]
        click.echo(json.dumps({"v": 1, "cache_dir": str(store.root), "nbytes": nbytes, "steps": steps}, indent=2))
        return ExitCode.OK
    results = sum(use[0] for use in rows.values())
    most = call.settings.cache_size
    may = f" (of {size(most)})" if most is not None else ""
    call.out.write(line(strong(_shown(store)), f"  {size(nbytes)}{may} · {counted(results, 'result')}"))
    packs, foreign = store.foreign()
    if packs:
        call.out.write(line("  ", warn("! "), foreign_text(foreign)))
    now = time.time()
    cells = [
        (line("  ", name(step) if step else dim("(of other code)")), line(counted(count, "result")), line(size(total)),
         line(dim(f"last used {ago(now - used)}")))
        for step, (count, total, used) in rows.items()
    ]  # fmt: skip
    call.out.write(*columns(cells, right=frozenset({1, 2})))
    return ExitCode.OK


@command.command("prune")
@click.option("--size", "limit", metavar="SIZE", help="How large the cache may be: 500M, 10G.")
@flags.JSON
@on_cache
def prune(call: Invocation, limit: str | None, as_json: bool) -> int:
    """Remove what was used least recently, until the cache has the size it may have.

    What the last runs of each pipeline reached stays, and so does everything that was used in the last day.
    """
    store = open_cache(call)
    with _changing(store):
        done = store.prune(call.settings.cache_size if limit is None else parse_bytes(limit, "--size "))
    if as_json:
        click.echo(json.dumps({"v": 1, "pruned": done.done, "freed": done.freed, "nbytes": done.nbytes}))
    elif not done.done:
        call.err.write(line(warn("· "), "another process is pruning this cache"))
    else:
        call.err.write(line(good("✓ "), f"freed {size(done.freed)}; {size(done.nbytes)} are left"))
    return ExitCode.OK


@command.command("verify")
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that it is computed again.")
@flags.JSON
@on_cache
def verify(call: Invocation, repair: bool, as_json: bool) -> int:
    """Check every byte of the cache; exit 1 when something is damaged."""
    store = open_cache(call)
    with _changing(store):
        found = store.verify(repair=repair)
    if as_json:
        problems = [{"kind": p.kind, "path": p.path, "harmless": p.harmless} for p in found.problems]
        counts = {"records": found.records, "blobs": found.blobs, "nbytes": found.nbytes}
        click.echo(json.dumps({"v": 1, "sound": found.sound, **counts, "problems": problems}, indent=2))
    else:
        call.out.write(*_verified(store, found, repair))
    return ExitCode.OK if found.sound or repair else ExitCode.FAILED


@command.command("clear")
@click.argument("steps", nargs=-1, metavar="[STEP]...")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@flags.JSON
@on_cache
def clear(call: Invocation, steps: tuple[str, ...], yes: bool, as_json: bool) -> int:
    """Remove all results of STEPs, or of all."""
    store = open_cache(call)
    families = [family for step in steps for family in families_of(store, step)] if steps else None
    if not yes:
        _confirm(f"remove {'all results of ' + ', '.join(steps) if steps else 'everything'} from {_shown(store)}?")
    before = store.size().nbytes
    with _changing(store):
        store.clear(families)
    left = store.size().nbytes
    if as_json:
        click.echo(json.dumps({"v": 1, "freed": max(0, before - left), "nbytes": left}))
    else:
        call.err.write(line(good("✓ "), f"freed {size(max(0, before - left))}"))
    return ExitCode.OK


@contextlib.contextmanager
def _changing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC
        hint = f"{_about(store, 'prune', '--size', '1G')}  makes room" if full else None
        raise CacheError(f"the cache {_shown(store)} cannot be changed: {error.strerror or error}", hint=hint) from None


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm", hint="add --yes")
    if not click.confirm(question, err=True):
        raise click.Abort


def _about(store: Store, *words: str) -> str:
    """A command about this very cache."""
    return shlex.join(["jpipe", "cache", *words, "--cache-dir", str(os.path.relpath(store.root))])


def _shown(store: Store) -> str:
    return os.path.join(os.path.relpath(store.root), "")


def _verified(store: Store, found: Any, repair: bool) -> list[Line]:
    checked = f"{counted(found.records, 'result')} and {counted(found.blobs, 'file')} checked, {size(found.nbytes)}"
    damaged = [problem for problem in found.problems if not problem.harmless]
    lines = [line(good("✓ "), f"{checked}: all sound")] if not damaged else [line(bad("✗ "), checked)]
    lines += [line("  ", warn(problem.kind), f"  {problem.path}") for problem in found.problems[:_MOST_PROBLEMS]]
    left = len(found.problems) - _MOST_PROBLEMS
    lines += [line(dim(f"  and {left:,} more"))] if left > 0 else []
    if damaged and repair:
        lines.append(line("  what was damaged is set aside; the next run computes it again"))
    elif damaged:
        again = _about(store, "verify", "--repair")
        lines.append(line(f"  {again}  drops it, and the next run computes it again"))
    return lines
