"""The store under joblib: ``joblib.Memory(location, backend="jpipe")``, and the front of jpipe's own executions.

joblib addresses a result by the function's name and a hash of the arguments, and wipes the results of a function whose
code changed. Here the code is a part of the address: old results stay, and are found again when an edit is undone.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from blake3 import blake3
from joblib import StoreBackendBase, register_store_backend

from jpipe.errors import JpipeError
from jpipe.store.format.records import CacheWarning, Held, MissingEntry, NewRecord, PutOptions, Record
from jpipe.store.joblib_details import CodeByBytes, ItemInfo, excess, function_of_caller, text_for
from jpipe.store.store import Store

__all__ = ["JpipeStoreBackend", "register"]

CallId = Sequence[str]
_OWN = "jpipe"
_UNKNOWN = ""
_LONGEST_REPR = 10_000
_MERGE_EVERY = 64
_seen: dict[str, set[str]] = {}
"""By function, all the code that joblib has shown in this process; like joblib's own memory of what it has compared."""


def register() -> None:
    """Make the store known to joblib under the name ``"jpipe"``."""
    register_store_backend("jpipe", JpipeStoreBackend)


class AnyCode(str):
    """A text that equals the code that it is compared with, and tells whom that was.

    joblib asks for the code that results of a function were made with, compares it with the code of today, and wipes
    the results if they differ. With this for an answer they never do, and the backend learns the code of today.
    """

    __slots__ = ("learn",)
    learn: Callable[[str], None]

    def __new__(cls, learn: Callable[[str], None]) -> Self:
        text = super().__new__(cls, "")
        text.learn = learn
        return text

    def __eq__(self, other: object) -> bool:
        self.learn(text_for(str(other), function_of_caller(sys._getframe(1))))
        return True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class _Codes(threading.local):
    """What this thread knows about the code of functions, and the work that it does for jpipe."""

    def __init__(self) -> None:
        self.compared: dict[str, str] = {}
        self.calls: dict[tuple[str, ...], str] = {}
        self.found: tuple[CallId, Record | None] = ((), None)
        self.pending: tuple[CallId, NewRecord] | None = None
        self.unsaved: dict[tuple[str, ...], Any] = {}
        self.work: Any = None
        self.receipt: Any = None


class JpipeStoreBackend(StoreBackendBase):  # type: ignore[misc]
    """A store backend of joblib; made and configured by `joblib.Memory`."""

    verbose = 0
    store: Store
    mmap_mode: Any = None
    compress: Any = False

    def __init__(self) -> None:
        self._state = _Codes()
        self._since_merge = 0

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_state"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._state = _Codes()

    def configure(self, location: str, verbose: int = 1, backend_options: dict[str, Any] | None = None) -> None:
        """Open the store at `location`, or take the one in `backend_options`."""
        options = backend_options or {}
        self.location = location
        self.verbose = verbose
        self.compress = options.get("compress", False)
        self.mmap_mode = options.get("mmap_mode")
        self.store = options.get("store") or Store.open(Path(location))
        if self.compress and self.mmap_mode is not None:
            warnings.warn("Compressed items cannot be memmapped. They will be read into memory.", stacklevel=2)

    @contextlib.contextmanager
    def serving(self, work: Any) -> Iterator[None]:
        """Within the block, jpipe's own executions in this thread are answered from `work`.

        Parameters
        ----------
        work
            Has ``find(store)``, which gives the receipt of an execution that is in the cache meanwhile, or None.
        """
        outer = self._state.work, self._state.receipt
        self._state.work, self._state.receipt = work, None
        try:
            yield
        finally:
            self._state.work, self._state.receipt = outer

    def contains_item(self, call_id: CallId) -> bool:
        """Whether a result of the function's code of today is there."""
        if self._is_own(call_id):
            self._state.receipt = self._state.work.find(self.store)
            return self._state.receipt is not None
        self._flush()
        code = self._take_code(call_id[0])
        self._state.calls[tuple(call_id)] = code
        record = None if code == _UNKNOWN else self._record(call_id, code)
        self._state.found = call_id, record
        return record is not None

    def load_item(
        self, call_id: CallId, verbose: int = 1, timestamp: float | None = None, metadata: dict[str, Any] | None = None
    ) -> Any:
        """A result.

        Raises
        ------
        KeyError
            If it is not there (any more), or was damaged.
        """
        if self._is_own(call_id):
            return self._state.receipt
        if verbose > 1:
            print(
                f"[Memory]: Loading {call_id[0]}..." if verbose < 10 else f"[Memory]: Loading {call_id[0]} from {self}"
            )
        if tuple(call_id) in self._state.unsaved:
            return self._state.unsaved.pop(tuple(call_id))
        record = self._found(call_id, metadata)
        if record is None:
            raise KeyError(f"Non-existing item (may have been cleared): {call_id[0]}, {call_id[1]}")
        try:
            return self.store.load(record.where, mmap_mode=_mode(self.mmap_mode))
        except MissingEntry as error:
            raise KeyError(str(error)) from error

    def dump_item(self, call_id: CallId, item: Any, verbose: int = 1) -> None:
        """Store a result; if that cannot be, warn and go on."""
        if self._is_own(call_id):
            item.publish(self.store)
            return
        if verbose > 10:
            print(f"Persisting {call_id[0]}, {call_id[1]} in {self.location}")
        try:
            stored = self.store.put(item, options=PutOptions(compress=self.compress or 0), fingerprint=CodeByBytes)
        except JpipeError as error:
            warnings.warn(f"Unable to cache to disk: {error}", CacheWarning, stacklevel=2)
            stored = None
        if stored is not None and not isinstance(stored.where, Held):
            self._state.pending = call_id, NewRecord(self._key(call_id), stored, self._arguments(call_id))
        elif self.mmap_mode is not None:
            self._state.unsaved[tuple(call_id)] = item

    def store_metadata(self, call_id: CallId, metadata: dict[str, Any]) -> None:
        """Write the record of a result that was just stored, with duration and arguments."""
        pending, self._state.pending = self._state.pending, None
        self._state.calls.pop(tuple(call_id), None)
        if pending is None:
            return
        pending_id, record = pending
        if tuple(pending_id) == tuple(call_id):
            metadata["jpipe"] = record.key.hex()
            seconds = float(metadata.get("duration", 0.0))
            record = record._replace(seconds=seconds, extra=self._hidden(record.key, metadata))
        self._publish(pending_id, record)

    def get_metadata(self, call_id: CallId) -> dict[str, Any]:
        """Duration in seconds, time of storing, and the `repr` of each argument; empty if there is no result."""
        if self._is_own(call_id):
            return {}
        self._flush()
        record = self._found(call_id, None)
        if record is None:
            return {}
        shown = {"duration": record.seconds, "time": record.created, "jpipe": record.key.hex(), "input_args": {}}
        with contextlib.suppress(ValueError):
            shown.update(self._shown(record))
        return shown

    def clear_item(self, call_id: CallId) -> None:
        """Remove a result."""
        self._flush()
        record = self._found(call_id, None)
        if record is not None:
            self.store.remove(self._family(call_id), {record.key})

    def clear_path(self, call_id: CallId) -> None:
        """Remove all results of a function, whatever its code was."""
        self._flush()
        if not _own_function(call_id[0]):
            self.store.clear([self._family(call_id)])

    def clear(self) -> None:
        """Remove all results."""
        self._flush()
        self.store.clear()

    def store_cached_func_code(self, call_id: CallId, func_code: str | None = None) -> None:
        """Learn the code of a function."""
        if func_code is not None:
            first, _, rest = func_code.partition("\n")
            source = rest if first.startswith("# first line:") else func_code
            self._learn(call_id[0], text_for(source, function_of_caller(sys._getframe(1))))

    def get_cached_func_code(self, call_id: CallId) -> str:
        """A text that joblib finds equal to the code of the function."""
        return AnyCode(lambda code: self._learn(call_id[0], code))

    def get_cached_func_info(self, call_id: CallId) -> dict[str, str]:
        """Where the results of a function are."""
        return {"location": self.store.disk.family_folder(self._family(call_id))}

    def get_items(self) -> list[ItemInfo]:
        """All results with their sizes, for `joblib.Memory.reduce_size`."""
        self._flush()
        return [
            ItemInfo(
                f"{entry.family.hex()}/{entry.key.hex()}",
                entry.nbytes,
                dt.datetime.fromtimestamp(entry.used, dt.UTC),
            )
            for entry in self.store.entries()
        ]

    def clear_location(self, location: str) -> None:
        """Remove the result that `get_items` gave this path."""
        family, _, key = location.partition("/")
        self.store.remove(bytes.fromhex(family), {bytes.fromhex(key)})

    def enforce_store_limits(
        self,
        bytes_limit: int | str | None,
        items_limit: int | None = None,
        age_limit: dt.timedelta | None = None,
    ) -> None:
        """Remove the results that were not used for longest until the limits hold."""
        doomed: dict[bytes, set[bytes]] = {}
        for item in excess(self.get_items(), bytes_limit, items_limit, age_limit):
            family, _, key = item.path.partition("/")
            doomed.setdefault(bytes.fromhex(family), set()).add(bytes.fromhex(key))
        for family_digest, keys in doomed.items():
            self.store.remove(family_digest, keys)

    def create_location(self, location: str) -> None:
        """Nothing: the store makes its folders when it writes."""

    def _open_item(self, f: Any, mode: str) -> Any:
        raise NotImplementedError("items of this store are not files")

    def _item_exists(self, location: str) -> bool:
        raise NotImplementedError("items of this store are not files")

    def _move_item(self, src: str, dst: str) -> None:
        raise NotImplementedError("items of this store are not files")

    def __repr__(self) -> str:
        return f'{type(self).__name__}(location="{self.location}")'

    def _is_own(self, call_id: CallId) -> bool:
        return self._state.work is not None and _own_function(call_id[0])

    def _learn(self, function: str, code: str) -> None:
        _seen.setdefault(function, set()).add(code)
        self._state.compared[function] = code

    def _take_code(self, function: str) -> str:
        """The code of a function: as joblib just compared it, or the only one that was ever seen under its name.

        joblib skips the comparison for functions whose code it has written before; if two functions go by one name,
        nobody knows then which of them is meant, and that is a miss.
        """
        code = self._state.compared.pop(function, None)
        if code is not None:
            return code
        seen = _seen.get(function, ())
        return next(iter(seen)) if len(seen) == 1 else _UNKNOWN

    def _family(self, call_id: CallId) -> bytes:
        return blake3(b"jpipe joblib function 1\0" + call_id[0].encode()).digest()

    def _arguments(self, call_id: CallId) -> tuple[tuple[str, bytes], ...]:
        return (("arguments", blake3(call_id[1].encode()).digest()),)

    def _key(self, call_id: CallId) -> bytes:
        code = self._state.calls.get(tuple(call_id))
        if code is None:
            code = self._state.calls[tuple(call_id)] = self._take_code(call_id[0])
        return _key(code, call_id[1])

    def _publish(self, call_id: CallId, record: NewRecord) -> None:
        family = self._family(call_id)
        self.store.publish(family, [record])
        self._since_merge += 1
        if self._since_merge >= _MERGE_EVERY:
            self._since_merge = 0
            self.store.merge([family])

    def _flush(self) -> None:
        """Write the record of a result that joblib gave no metadata for."""
        pending, self._state.pending = self._state.pending, None
        if pending is not None:
            self._publish(*pending)

    def _record(self, call_id: CallId, code: str) -> Record | None:
        return self._of_key(call_id, _key(code, call_id[1]))

    def _of_key(self, call_id: CallId, key: bytes) -> Record | None:
        family = self.store.family(self._family(call_id))
        found = family.find(key)
        if not found or not self.store.has(found[0].where):
            family.refresh()
            found = family.find(key)
        return found[0] if found and self.store.has(found[0].where) else None

    def _found(self, call_id: CallId, metadata: dict[str, Any] | None) -> Record | None:
        """The result that is meant: of the key in `metadata`, of the code of today, or else the newest of any code."""
        if metadata and "jpipe" in metadata:
            return self._of_key(call_id, bytes.fromhex(metadata["jpipe"]))
        same, record = self._state.found
        if same is call_id and record is not None:
            return record
        code = self._state.calls.get(tuple(call_id), _UNKNOWN)
        record = None if code == _UNKNOWN else self._record(call_id, code)
        return record or self._newest(call_id)

    def _newest(self, call_id: CallId) -> Record | None:
        wanted = self._arguments(call_id)
        family = self.store.family(self._family(call_id))
        family.refresh()
        found = [record for record in family.records() if record.arguments == wanted]
        return max(found, key=lambda record: record.created, default=None)

    def _hidden(self, key: bytes, metadata: dict[str, Any]) -> bytes:
        """Metadata as it goes to the disk, where no argument shall stand in clear."""
        shown = {name: value for name, value in metadata.items() if name != "jpipe"}
        shown["input_args"] = {name: text[:_LONGEST_REPR] for name, text in metadata.get("input_args", {}).items()}
        nonce = blake3(key + str(time.time_ns()).encode()).digest(16)
        text = json.dumps(shown).encode()
        return nonce + _covered(text, self.store.disk.key.secret, nonce)

    def _shown(self, record: Record) -> dict[str, Any]:
        nonce, text = record.extra[:16], record.extra[16:]
        shown: dict[str, Any] = json.loads(_covered(text, self.store.disk.key.secret, nonce)) if text else {}
        return shown


def _key(code: str, arguments: str) -> bytes:
    return blake3(b"jpipe joblib call 1\0" + blake3(code.encode()).digest() + arguments.encode()).digest()


def _own_function(function: str) -> bool:
    """Whether a joblib function id is that of one of jpipe's own functions."""
    return function.replace("\\", "/").partition("/")[0] == _OWN


def _covered(text: bytes, secret: bytes, nonce: bytes) -> bytes:
    """`text` added bit by bit to a stream that only the key's owner knows; the same again uncovers it."""
    stream = blake3(b"jpipe metadata 1\0" + nonce, key=secret).digest(len(text))
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")


def _mode(mode: Any) -> Any:
    """joblib's mmap modes in the store's: arrays can be written to, but never so that the cache changes."""
    return "c" if mode in ("r+", "w+") else mode
