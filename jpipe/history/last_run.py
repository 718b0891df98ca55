"""What earlier runs left behind to compare with: the code that steps had, and the calls of the last run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from jpipe.fingerprint import Fingerprint, Part, PartKind
from jpipe.fingerprint.named_changes import code_file
from jpipe.model.record_codec import (
    BYTES,
    DIGEST,
    NUMBER,
    TEXT,
    TRUTH,
    WHOLE,
    Codec,
    Malformed,
    dump,
    load,
    many,
    maybe,
    named,
    one_of,
    row,
    table,
)
from jpipe.store import NoteKind, Store

__all__ = ["MOST_CALLS", "EarlierCall", "History", "LastRun", "with_earlier"]

REMEMBERED = 20
"""How many versions of the code of a step are compared with."""


class EarlierCall(NamedTuple):
    """A call of the last run.

    Parameters
    ----------
    family, key
        The fingerprint of its step, and its key.
    arguments
        The digests of its arguments, by parameter.
    texts
        Those of its arguments that are short scalars, as text.
    has_result
        Whether the last run had its result; False for what failed then, and for what it left from runs before.
    content
        The digest of that result: there may be others under the key, made of other files. Empty when not known.
    """

    family: bytes
    key: bytes
    arguments: Mapping[str, bytes]
    texts: Mapping[str, str] = {}
    has_result: bool = True
    content: bytes = b""


def with_earlier(now: Sequence[EarlierCall], before: Sequence[EarlierCall]) -> list[EarlierCall]:
    """The calls of a run, and those of runs before that have no place among them.

    So that what was not asked for, or failed, can be compared with what it was when it last ran.
    """
    if now and all(call.has_result for call in now):
        return list(now)
    keys = {call.key for call in now}
    return [*now, *(call._replace(has_result=False) for call in before if call.key not in keys)][:MOST_CALLS]


MOST_CALLS = 2000
"""Of so many calls of a step a run leaves behind what they were."""


class LastRun(NamedTuple):
    """What the last run of a pipeline did.

    Parameters
    ----------
    run, when
        Its name, and seconds since 1970.
    calls
        By step: its calls (a mapped call counts as one; at most `MOST_CALLS` of each step).
    failed
        The keys of the items that failed.
    seconds
        By step: what one item took.
    """

    run: str = ""
    when: float = 0.0
    calls: Mapping[str, Sequence[EarlierCall]] = {}
    failed: frozenset[bytes] = frozenset()
    seconds: Mapping[str, float] = {}


class History:
    """Reads and writes what runs leave behind, in the notes of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._families: dict[str, list[bytes]] = {}
        self._parts: dict[bytes, tuple[Part, ...]] = {}

    def families(self, step: str) -> list[bytes]:
        """The fingerprints that the step of this name had, newest first."""
        known = self._families.get(step)
        if known is None:
            loaded = self._load(NoteKind.STEP, _named("step", step), _FAMILIES) or []
            known = self._families[step] = loaded[::-1]
        return known

    def own_families(self, step: str, now: Sequence[Part], last: LastRun) -> list[bytes]:
        """Those of them that are of this step: another pipeline in this cache may have a step of the same name.

        A step is the same while it stands in the same file, and wherever it stood in the last run of its pipeline.

        Parameters
        ----------
        now
            The parts of its fingerprint.
        last
            The last run of its pipeline.
        """
        file = code_file(now)
        known = {call.family for call in last.calls.get(step, ())}
        return [family for family in self.families(step) if family in known or self._stands_in(family, file)]

    def _stands_in(self, family: bytes, file: str | None) -> bool:
        place = code_file(self.parts(family) or ())
        return file is None or place is None or place == file

    def note_family(self, step: str, fingerprint: Fingerprint) -> None:
        """Write down that the step has this code now, with the parts of its fingerprint."""
        families = self.families(step)
        if families and families[0] == fingerprint.digest:
            return
        if self._store.read_note(NoteKind.MANIFEST, fingerprint.digest) is None:
            self._save(NoteKind.MANIFEST, fingerprint.digest, _PARTS, fingerprint.parts)
        families = [fingerprint.digest, *(f for f in families if f != fingerprint.digest)][:REMEMBERED]
        self._families[step] = families
        self._save(NoteKind.STEP, _named("step", step), _FAMILIES, families[::-1])

    def parts(self, family: bytes) -> tuple[Part, ...] | None:
        """The parts of an earlier fingerprint; None where they are not known any more."""
        found = self._parts.get(family)
        if found is None:
            found = self._load(NoteKind.MANIFEST, family, _PARTS)
            if found is not None:
                if len(self._parts) == _FEW:
                    self._parts.clear()
                self._parts[family] = found
        return found

    def last_run(self, pipeline: str) -> LastRun:
        """The last run of a pipeline; an empty one when there is none."""
        return self._run(_named("pipeline", pipeline))

    def place_of_run(self, pipeline: str) -> str:
        """The file that tells what the last run of a pipeline did."""
        return self._store.note_place(NoteKind.PIPELINE, _named("pipeline", pipeline))

    def last_runs(self) -> list[LastRun]:
        """The last run of each pipeline that uses this cache."""
        return [self._run(name) for name in self._store.notes(NoteKind.PIPELINE)]

    def _run(self, name: bytes) -> LastRun:
        return self._load(NoteKind.PIPELINE, name, _RUN) or LastRun()

    def note_run(self, pipeline: str, run: LastRun) -> None:
        """Write down what a run did."""
        self._save(NoteKind.PIPELINE, _named("pipeline", pipeline), _RUN, run)

    def _load(self, kind: NoteKind, name: bytes, codec: Codec) -> Any:
        """What a note says; None where it says it in another way than this version does."""
        raw = self._store.read_note(kind, name)
        try:
            return None if raw is None else load(codec, raw)
        except Malformed:
            return None

    def _save(self, kind: NoteKind, name: bytes, codec: Codec, value: Any) -> None:
        self._store.write_note(kind, name, dump(codec, value))


def pipeline_id(file: str, name: str) -> str:
    """What the runs of a pipeline are filed under: its file relative to the project, and its name."""
    return f"{file}:{name}"


def _named(kind: str, name: str) -> bytes:
    return blake3(f"jpipe {kind}\0{name}".encode("utf-8", "surrogatepass")).digest()


_FEW = 4
"""Of so many fingerprints the parts are kept in memory: there may be thousands of parts in each."""


def _use(*use: Any) -> tuple[Any, ...]:
    return use


_PARTS = many(
    row(
        Part,
        one_of(PartKind),
        TEXT,
        maybe(TEXT),
        maybe(WHOLE),
        DIGEST,
        maybe(TEXT),
        maybe(TEXT),
        many(row(_use, TEXT, TEXT)),
    )
)
_CALL = row(EarlierCall, DIGEST, DIGEST, table(BYTES), table(TEXT), TRUTH, BYTES)
_CALLS = table(many(_CALL, list))
_RUN = named(LastRun, run=TEXT, when=NUMBER, calls=_CALLS, failed=many(DIGEST, frozenset), seconds=table(NUMBER))
_FAMILIES = many(DIGEST, list)
