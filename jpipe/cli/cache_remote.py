"""``jpipe cache push``, ``pull`` and ``sync``: results to and from the remote cache."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from jpipe.cli import flags
from jpipe.cli.cache_contents import families_of, on_cache
from jpipe.cli.invocation import Invocation
from jpipe.cli.targets import place_of
from jpipe.errors import ExitCode, RemoteCacheError, UsageError
from jpipe.render.humanize import counted, size
from jpipe.render.styled_text import dim, good, line, warn
from jpipe.render.transfer_bar import TransferBar

if TYPE_CHECKING:
    from jpipe.store import Store
    from jpipe.store.remote.remote import Refusal, Remote

__all__ = ["pull", "push", "sync"]

_ALL = click.option("--all", "everything", is_flag=True, help="What other code gave too, not only today's.")
_REPAIR = click.option("--repair", is_flag=True, help="Remove there what is damaged or was tampered with.")


class _Moved(NamedTuple):
    results: int
    nbytes: int
    unseen: int = 0


@click.command("push")
@click.argument("steps", nargs=-1, metavar="[STEP]...")
@flags.JSON
@on_cache
def push(call: Invocation, steps: tuple[str, ...], as_json: bool) -> int:
    """Write results to the remote cache: those of STEPs, or all that it does not have."""
    store, remote = _opened(call)
    sent = _push(call, store, remote, steps)
    return _tell(call, remote, as_json, pushed=sent)


@click.command("pull")
@click.argument("words", nargs=-1, metavar="[FILE][:PIPELINE] [STEP]...")
@_ALL
@flags.JSON
@on_cache
def pull(call: Invocation, words: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Take results from the remote cache: those that the pipeline, or STEPs of it, have with today's code.

    The pipeline file is imported for it, and no step runs. A run takes what it needs by itself; this is for going
    offline.
    """
    store, remote = _opened(call)
    got = _pull(call, store, remote, words, everything)
    return _tell(call, remote, as_json, pulled=got)


@click.command("sync")
@click.argument("words", nargs=-1, metavar="[FILE][:PIPELINE] [STEP]...")
@_ALL
@_REPAIR
@flags.JSON
@on_cache
def sync(call: Invocation, words: tuple[str, ...], everything: bool, repair: bool, as_json: bool) -> int:
    """Pull, then push."""
    store, remote = _opened(call)
    got = _pull(call, store, remote, words, everything)
    removed = _repair(remote) if repair else 0
    sent = _push(call, store, remote, place_of(words).steps)
    return _tell(call, remote, as_json, pulled=got, pushed=sent, removed=removed)


def _opened(call: Invocation) -> tuple[Store, Remote]:
    store = call.open_cache(create=True)
    if store.remote is None:
        raise UsageError(
            "no remote cache is set",
            hint='write remote = "s3://bucket/prefix" under [tool.jpipe] in pyproject.toml, or set JPIPE_REMOTE',
        )
    return store, store.remote


def _push(call: Invocation, store: Store, remote: Remote, steps: tuple[str, ...]) -> _Moved:
    from jpipe.store.remote.push import push as send

    if remote.address.is_read_only:
        raise UsageError(f"{remote.address.shown} can only be read", hint="pull from it, and push to a bucket")
    named = [family for step in steps for family in families_of(store, step)]
    families = named if steps else [family for family, _ in store.disk.families()]
    with TransferBar(call.err, "push") as bar:
        return _Moved(*send(remote, families, bar.moved))


def _pull(call: Invocation, store: Store, remote: Remote, words: tuple[str, ...], everything: bool) -> _Moved:
    from jpipe.store import BlobPlace

    if everything:
        remote.address.open()
        names = remote.address.folders("v1/packs")
        families = [bytes.fromhex(name) for name in names if len(name) == 64 and set(name) <= set("0123456789abcdef")]
    else:
        families = _families_now(call, words)
    with TransferBar(call.err, "pull") as bar:
        remote.bring(families, bar.moved)
        remote.fetch(map(BlobPlace, remote.offered(families)), bar.moved)
    if remote.offline:
        raise RemoteCacheError(remote.offline)
    return _Moved(*remote.arrived)


def _families_now(call: Invocation, words: tuple[str, ...]) -> list[bytes]:
    """The fingerprints of the steps that are meant."""
    from dataclasses import replace

    from jpipe.decide.pipeline_session import PipelineSession
    from jpipe.define.selection import calls_meant

    place = place_of(words)
    about = replace(call, place=place)
    session = PipelineSession(about.pipeline, about.parameters, about.settings.cache_dir)
    calls = [session.layout.calls[number] for number in calls_meant(place.steps, session.layout.calls)]
    return [session.fingerprint(step).digest for step in {id(c.step): c.step for c in calls}.values()]


def _repair(remote: Remote) -> int:
    wrong = [refusal for refusal in remote.refused.values() if not refusal.is_foreign]
    for refusal in wrong:
        remote.address.remove(refusal.name)
        remote.refused.pop(refusal.name)
    return len(wrong)


def _tell(call: Invocation, remote: Remote, as_json: bool, removed: int = 0, **moved: _Moved) -> int:
    """Say what went and came, and what was refused; exit 1 where something was."""
    refused = list(remote.refused.values())
    if as_json:
        counts = {way: {"results": went.results, "nbytes": went.nbytes} for way, went in moved.items()}
        document: dict[str, Any] = {"v": 1, "remote": remote.address.shown, **counts, "removed": removed}
        click.echo(json.dumps({**document, "refused": [_as_json(one) for one in refused]}, indent=2))
    else:
        for way, went in moved.items():
            what = f"{counted(went.results, 'record')}, {size(went.nbytes)}" if any(went[:2]) else "nothing new"
            call.err.write(line(good("✓ "), f"{way}: {what}", dim(f"  {remote.address.shown}")))
        if removed:
            call.err.write(line(good("✓ "), f"removed: {counted(removed, 'entry', 'entries')}"))
    for one in refused if not as_json else ():
        call.err.write(line(warn("! "), f"refused: {one.why}", dim(f"  {one.name}")))
    unseen = sum(went.unseen for went in moved.values())
    if unseen and not as_json:
        left = f"{counted(unseen, 'record')} stay here: code ran for them that their fingerprint does not lead to"
        call.err.write(line(warn("! "), left))
    return ExitCode.FAILED if any(not one.is_foreign for one in refused) else ExitCode.OK


def _as_json(refusal: Refusal) -> dict[str, Any]:
    return {"name": refusal.name, "why": refusal.why, "foreign": refusal.is_foreign}
