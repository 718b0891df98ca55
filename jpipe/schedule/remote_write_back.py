"""What a run has to do with the remote cache: say what came from there, and write there what it computed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.decide.remote_cache import complaints, from_remote
from jpipe.errors import RemoteCacheError
from jpipe.model.events import Notice, Observer
from jpipe.model.outcomes import Outcome
from jpipe.store import MissingEntry

if TYPE_CHECKING:
    from jpipe.store.remote.remote import Remote

__all__ = ["tell_complaints", "write_back"]


def write_back(session: PipelineSession, pipeline_state: PipelineState, outcome: Outcome, tell: Observer) -> None:
    """Do what is due when a run is over.

    Parameters
    ----------
    session, pipeline_state, outcome
        The run.
    tell
        Takes the events.
    """
    remote = session.store.remote
    if remote is None:
        return
    _tell_arrived(remote, pipeline_state, tell)
    if outcome is not Outcome.INTERRUPTED and session.settings.remote_push and not remote.address.is_read_only:
        _push(remote, pipeline_state, tell)
    tell_complaints(remote, tell)


def tell_complaints(remote: Remote | None, tell: Observer) -> None:
    """Say once what is wrong with the remote cache."""
    for message, hint in complaints(remote):
        if remote is not None and message not in remote.told:
            remote.told.add(message)
            tell(Notice(message, hint))


def _tell_arrived(remote: Remote, pipeline_state: PipelineState, tell: Observer) -> None:
    came = 0
    for state in pipeline_state.states.values():
        with contextlib.suppress(MissingEntry):
            came += from_remote(pipeline_state.lookup, state)
    if came:
        nbytes = f" ({_megabytes(remote.arrived.nbytes)})" if remote.arrived.nbytes else ""
        results = "1 result" if came == 1 else f"{came:,} results"
        tell(Notice(f"{results} came from {remote.address.shown}{nbytes}"))
    remote.used()


def _push(remote: Remote, pipeline_state: PipelineState, tell: Observer) -> None:
    from jpipe.store.remote.push import push

    states = pipeline_state.states.values()
    families = {state.fingerprint.digest for state in states if state.call.step.declared.cache}
    if remote.offline:
        return
    try:
        sent = push(remote, families)
    except RemoteCacheError as error:
        remote.told.add(str(error))
        tell(Notice(f"results could not be written to the remote cache: {error}", "jpipe cache push  tries again"))
        return
    if sent.results:
        tell(Notice(f"{_records(sent.results)} went to {remote.address.shown} ({_megabytes(sent.nbytes)})"))


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count:,} records"


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:,.1f} kB"
