"""The remote cache of a project: made from its settings, and what it has to do with a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jpipe.decide.call_state import CallState, Status
from jpipe.decide.record_lookup import RecordLookup
from jpipe.settings import Settings
from jpipe.store import SigningKey, Store

if TYPE_CHECKING:
    from jpipe.store.remote.remote import Remote

__all__ = ["complaints", "from_remote", "remote_of"]


def remote_of(store: Store, settings: Settings) -> Remote | None:
    """The remote cache that the settings name; nothing of it is loaded where they name none.

    Raises
    ------
    CacheError
        If its key cannot be used.
    """
    if settings.remote is None or settings.remote == "off":
        return None
    from jpipe.store.remote.address import Address
    from jpipe.store.remote.remote import Remote

    key = SigningKey.of_team(settings.remote_key) if settings.remote_key is not None else store.disk.key
    address = Address(settings.remote, settings.remote_options)
    return Remote(store.disk, store.saving, store.family, address, key)


def from_remote(lookup: RecordLookup, state: CallState) -> int:
    """How many of the items of a call that are fresh came from the remote cache, or would still come."""
    remote, family = lookup.store.remote, state.fingerprint.digest
    if remote is None or not remote.has_news(family):
        return 0
    if state.call.is_mapped and state.record is not None:
        if remote.comes_from_there(state.record.where):
            return state.count or 0
        lookup.list_items(state)
    fresh = [index for index, status in enumerate(state.status) if status in (Status.CACHED, Status.RAN)]
    keys = [key for index in fresh if index < len(state.keys) and (key := state.keys[index]) is not None]
    found = lookup.store.family(family).find_many(keys)
    return sum(any(remote.comes_from_there(record.where) for record in records[:1]) for records in found)


def complaints(remote: Remote | None) -> Iterator[tuple[str, str | None]]:
    """What is to be said of the remote cache, each as a message and a hint: that it is offline, what it refused."""
    if remote is None:
        return
    shown = remote.address.shown
    if remote.offline:
        yield f"the remote cache does not answer, so only this machine's counts: {remote.offline}", None
    foreign = [refusal for refusal in remote.refused.values() if refusal.is_foreign]
    others = [refusal for refusal in remote.refused.values() if not refusal.is_foreign]
    if foreign:
        entries = "an entry" if len(foreign) == 1 else f"{len(foreign):,} entries"
        yield (
            f"{entries} of {shown} {'is' if len(foreign) == 1 else 'are'} signed with another key and not taken",
            "remote_key is to name the key of those who wrote them",
        )
    for refusal in others[:_SAID]:
        hint = "jpipe cache sync --repair  removes it" if refusal is others[0] else None
        yield f"an entry of {shown} was refused: {refusal.why}: {refusal.name}", hint
    if len(others) > _SAID:
        yield f"{len(others) - _SAID:,} more entries of {shown} were refused", None


_SAID = 5
