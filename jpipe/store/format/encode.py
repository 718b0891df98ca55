"""A value as bytes: one pickle stream and the large buffers beside it, each hashed once.

Plain pickle writes what it can; cloudpickle writes what only exists in this process, such as classes of ``__main__``,
functions inside functions, and lambdas.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from jpipe.digest.canonical import hash_bytes
from jpipe.store.format.compress import compress, decompress
from jpipe.store.format.unstorable import unstorable
from jpipe.system import by_value, main_module
from jpipe.system.deep_stack import with_room
from jpipe.system.named_instances import name_of_instance, named_instance

__all__ = ["Encoded", "decode", "encode", "inline_scalars", "pack_inline", "unpack_inline"]

BESIDE_FROM = 512
"""Buffers of this many bytes or more stay out of the pickle stream."""
_BESIDE_WRITING_FROM = 8 << 20
_PLAIN, _BUFFERS = 0, 1
_PLAIN_BYTE = bytes((_PLAIN,))
_COUNT = struct.Struct("<BI")


class _Hashing(threading.Thread):
    """Hashes buffers while this process goes on."""

    def __init__(self, buffers: list[memoryview]) -> None:
        super().__init__(name="jpipe-hashing", daemon=True)
        self.buffers = buffers
        self.digests: list[bytes] | None = None

    def run(self) -> None:
        self.digests = [hash_bytes(buffer) for buffer in self.buffers]


@dataclass(slots=True, eq=False, repr=False)
class Encoded:
    """A value as `stream`, in the encoding `codec`, and `buffers`.

    `hashing` is the thread that hashes them, if they are so large that they should be written meanwhile.
    """

    codec: int
    stream: bytes
    buffers: list[memoryview]
    hashing: _Hashing | None = None
    _digests: list[bytes] | None = None

    def __post_init__(self) -> None:
        if sum(map(len, self.buffers)) >= _BESIDE_WRITING_FROM:
            self.hashing = _Hashing(self.buffers)
            self.hashing.start()

    @property
    def digests(self) -> list[bytes]:
        """The BLAKE3 of each buffer."""
        if self._digests is None and self.hashing is not None:
            self.hashing.join()
            self._digests = self.hashing.digests
        if self._digests is None:
            self._digests = [hash_bytes(buffer) for buffer in self.buffers]
        return self._digests

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return len(self.stream) + sum(len(buffer) for buffer in self.buffers)

    def addresses(self) -> dict[tuple[int, int], bytes]:
        """{(address, size): digest} of the buffers, where numpy can say the address."""
        numpy = sys.modules.get("numpy")
        if numpy is None or not self.buffers:
            return {}
        return {
            (numpy.frombuffer(buffer, numpy.uint8).__array_interface__["data"][0], len(buffer)): digest
            for buffer, digest in zip(self.buffers, self.digests, strict=True)
        }


def encode(value: Any, method: tuple[str, int] | None = None) -> Encoded:
    """Pickle `value`.

    Parameters
    ----------
    value
        Anything.
    method
        (name, level) of a compression, which takes the buffers into the stream.

    Raises
    ------
    UnstorableResult
        If neither pickle nor cloudpickle can write it; it names what cannot be written.
    """
    buffers: list[memoryview] = []

    def beside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < BESIDE_FROM:
            return True
        buffers.append(raw)
        return False

    stream = _pickled(value, None if method else beside, buffers)
    if method:
        code, stream = compress(method, stream)
        return Encoded(code, stream, [])
    return Encoded(_BUFFERS if buffers else _PLAIN, stream, buffers)


def decode(codec: int, stream: bytes | memoryview, buffers: list[Any]) -> Any:
    """The value that `encode` was given."""
    if codec > _BUFFERS:
        stream = decompress(codec, bytes(stream))
    return main_module.loads(stream, buffers)


def pack_inline(encoded: Encoded) -> bytes:
    """All of a small value in one piece."""
    if not encoded.buffers:
        return bytes((encoded.codec,)) + encoded.stream
    sizes = [len(encoded.stream), *map(len, encoded.buffers)]
    return b"".join(
        [
            _COUNT.pack(encoded.codec, len(sizes)),
            struct.pack(f"<{len(sizes)}Q", *sizes),
            encoded.stream,
            *encoded.buffers,
        ]
    )


def inline_scalars(values: Iterable[Any]) -> list[bytes]:
    """`pack_inline` of what `encode` gives for each of many numbers and short texts."""
    return [_PLAIN_BYTE + pickle.dumps(value, 5) for value in values]


def unpack_inline(payload: bytes) -> Any:
    """The value that `pack_inline` wrote; its arrays can be written to."""
    codec = payload[0]
    if codec != _BUFFERS:
        return decode(codec, payload[1:], [])
    count = _COUNT.unpack_from(payload)[1]
    position = _COUNT.size + 8 * count
    pieces = []
    for size in struct.unpack_from(f"<{count}Q", payload, _COUNT.size):
        pieces.append(bytearray(payload[position : position + size]))
        position += size
    return decode(codec, memoryview(pieces[0]), pieces[1:])


class _OnlyHere(Exception):
    """Plain pickle would write a name that means something in this process only."""


class _PlainPickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return _reduced(type(obj), obj)


def _reduced(kind: type, obj: Any) -> Any:
    if kind is FunctionType or kind is type or issubclass(kind, type):
        if obj.__module__ in ("__main__", "__mp_main__", None) or "<locals>" in obj.__qualname__:
            reduced = main_module.reduced(obj)
            if reduced is None:
                raise _OnlyHere
            return reduced
        return NotImplemented
    return _instance_reduced(kind, obj) or _array_reduced(kind, obj)


def _instance_reduced(kind: type, obj: Any) -> Any:
    """An object that is nothing but itself, by its name."""
    named = name_of_instance(obj)
    return None if named is None else (named_instance, (*named, kind))


def _array_reduced(kind: type, obj: Any) -> Any:
    """Mapped arrays as plain arrays, and views with gaps without them: both would go into the stream as copies."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return NotImplemented
    if kind is numpy.memmap:
        obj = numpy.asarray(obj)
    elif kind is not numpy.ndarray or obj.flags.forc:
        return NotImplemented
    if not obj.dtype.hasobject and not obj.flags.forc:
        obj = numpy.ascontiguousarray(obj)
    return obj.__reduce_ex__(5)


def _pickled(value: Any, beside: Callable[[pickle.PickleBuffer], bool] | None, buffers: list[memoryview]) -> bytes:
    try:
        file = io.BytesIO()
        pickler = _PlainPickler(file, 5, buffer_callback=beside)
        with_room(lambda: pickler.dump(value))
        return file.getvalue()
    except MemoryError:
        raise
    except Exception:
        buffers.clear()
    return _cloudpickled(value, beside)


def _cloudpickled(value: Any, beside: Callable[[pickle.PickleBuffer], bool] | None) -> bytes:
    file = io.BytesIO()
    try:
        pickler = _cloud_pickler()(file, 5, buffer_callback=beside)
        with_room(lambda: pickler.dump(value))
    except MemoryError:
        raise
    except Exception as error:
        raise unstorable(value, error, _can_be_pickled) from error
    return file.getvalue()


def _can_be_pickled(value: Any) -> bool:
    try:
        pickler = _cloud_pickler()(io.BytesIO(), 5)
        with_room(lambda: pickler.dump(value))
    except Exception:
        return False
    return True


def _cloud_pickler() -> Any:
    class CloudPickler(by_value.pickler()):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = main_module.reduced(obj) or _instance_reduced(type(obj), obj) or _array_reduced(type(obj), obj)
            return super().reducer_override(obj) if reduced is NotImplemented else reduced

    return CloudPickler
