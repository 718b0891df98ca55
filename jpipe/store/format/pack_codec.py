"""What stands in a pack as JSON: what many entries have in common, and the parts of a value."""

from __future__ import annotations

from typing import Any, get_args

from jpipe.files import Kind
from jpipe.model.record_codec import BYTES, COUNT, DIGEST, TEXT, TRUTH, WHOLE, dump, load, many, one_of, row, scalar
from jpipe.store.format.records import Code, Read, Stored

__all__ = ["PARTS", "SHAPES", "Shape", "parts_from", "parts_to"]

Shape = tuple[tuple[str, ...], Code, tuple[Read, ...]]


def _fields(*fields: Any) -> tuple[Any, ...]:
    return fields


_CODE = many(row(_fields, TEXT, TEXT))
_READ = row(Read, TEXT, one_of(get_args(Kind)), COUNT, WHOLE, WHOLE, BYTES, TRUTH)
SHAPES = many(row(_fields, many(TEXT), _CODE, many(_READ)), list)
PARTS = many(row(_fields, scalar((str, int), lambda _: True, "a name or a number"), DIGEST, _CODE))


def parts_to(stored: Stored) -> bytes:
    """The digests of a value's parts and the code in each, as bytes; none where it has no parts."""
    if stored.parts is None:
        return b""
    code = stored.part_code
    return dump(PARTS, [(name, digest, code.get(name, ())) for name, digest in stored.parts.items()])


def parts_from(data: bytes) -> tuple[dict[Any, bytes], dict[Any, Code]]:
    """What `parts_to` was given: digests and code by part."""
    parts = load(PARTS, data)
    return {name: digest for name, digest, _ in parts}, {name: code for name, _, code in parts if code}
