"""The digest of a value, of its parts, and of values made from other values."""

from __future__ import annotations

from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blake3 import blake3

from jpipe.digest.canonical import (
    PREFIX,
    SCALARS,
    Node,
    Refused,
    count,
    hash_bytes,
    hash_root,
    new_hash,
    scalar,
    scalars,
    short,
)
from jpipe.digest.engine import Encoder, Fingerprints
from jpipe.digest.kinds import reduce
from jpipe.digest.plain import encodings, reduce_container
from jpipe.digest.refusal import explain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Code", "ValueDigest", "combine", "combine_joined", "complete", "digest", "digest_scalars"]

Code = tuple[tuple[str, str], ...]
"""The user's own classes and functions inside a value: (module, qualified name), sorted."""

_MANY = 1 << 20
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


class ValueDigest(NamedTuple):
    """What tells a value from others.

    Parameters
    ----------
    content
        32 bytes. The user's own classes and functions inside the value enter by name.
    code
        (module, qualified name) of those classes and functions, sorted: `complete` adds what they say today.
    parts
        By index or key, the content digest of each part of a list, tuple or dict, if asked for: the same as that of
        the part on its own.
    part_code
        By index or key, the code inside that part, where there is any.
    """

    content: bytes
    code: Code = ()
    parts: dict[Any, bytes] | None = None
    part_code: dict[Any, Code] | None = None


def digest(
    value: Any,
    *,
    fingerprint: Fingerprints | None = None,
    hashers: Mapping[type, Callable[[Any], Any]] | None = None,
    parts: bool = False,
    buffers: Mapping[tuple[int, int], bytes] | None = None,
    describe: str = "value",
) -> ValueDigest:
    """The digest of a value by its content.

    Parameters
    ----------
    value
        Anything; ``docs/reference/digests.md`` says what counts of which type.
    fingerprint
        What knows about code that is not found by its name, such as a lambda: a `jpipe.fingerprint.Fingerprinter`.
        Without it such code is refused.
    hashers
        By type, the user's own function that returns what counts of a value of that type or of a class derived from it.
    parts
        Whether to give the digests of the parts as well, if the value is exactly a list, a tuple, or a dict whose
        keys are all strings or integers and not 0, 1, 2 and so on: its parts could not be told from those of a list.
    buffers
        BLAKE3 hashes of contiguous buffers by (address, size in bytes): arrays there are not hashed again.
    describe
        What the value is called in messages.

    Raises
    ------
    UndigestibleError
        If there is something inside that cannot be told from others of its kind.
    """
    if not hashers and type(value) in SCALARS:
        return ValueDigest(hash_root(scalar(value)))
    encoder = Encoder(reduce, fingerprint, hashers or _NOTHING, buffers or _NOTHING)
    try:
        if parts and _has_parts(value, encoder):
            return _with_parts(value, encoder)
        content = hash_root(encoder.encode(value))
    except Refused as refused:
        raise explain(refused, describe) from refused.__cause__
    return ValueDigest(content, _listed(encoder))


def digest_scalars(values: Sequence[Any]) -> list[bytes] | None:
    """The `content` of the `digest` of each value if all are numbers, texts and the like, else None."""
    if not SCALARS.issuperset(map(type, values)):
        return None
    return [blake3(PREFIX + encoding).digest() for encoding in scalars(values)]


def _has_parts(value: Any, encoder: Encoder) -> bool:
    if type(value) is not dict:
        return type(value) in encoder.leaves
    is_like_list = list(value) == list(range(len(value)))
    return dict in encoder.leaves and set(map(type, value)) <= {str, int} & encoder.atoms and not is_like_list


def _listed(encoder: Encoder) -> Code:
    return tuple(sorted(encoder.code))


def _with_parts(value: Any, encoder: Encoder) -> ValueDigest:
    """Encode the parts one by one, listing the code of each, and put the whole together from them."""
    keys = list(value) if type(value) is dict else range(len(value))
    children = list(value.values()) if type(value) is dict else value
    code: dict[Any, Code] = {}
    found = encodings(children, encoder.atoms, encoder.leaves)
    if found is None:
        found = []
        for key, child in zip(keys, children, strict=True):
            found.append(_encode_part(key, child, value, encoder))
            if encoder.code:
                code[key] = _listed(encoder)
                encoder.forget()
    parts = {key: blake3(PREFIX + encoding).digest() for key, encoding in zip(keys, found, strict=True)}
    whole = tuple(sorted(set(chain.from_iterable(code.values()))))
    return ValueDigest(hash_root(_from_parts(value, found, encoder)), whole, parts, code or None)


def _encode_part(key: Any, child: Any, whole: Any, encoder: Encoder) -> bytes:
    try:
        return encoder.encode(child)
    except Refused as refused:
        refused.path = f"[{key!r}]{refused.path}"
        refused.way.insert(0, whole)
        raise


def _from_parts(value: Any, found: list[bytes], encoder: Encoder) -> bytes:
    node = reduce_container(value)
    if encoder.cyclic or not isinstance(node, Node):
        return encoder.encode(value)
    if type(value) is dict:
        found = list(chain.from_iterable(zip(map(scalar, value), found, strict=True)))
    return short(node.assemble(found))


def complete(content: bytes, code: Code, of_reference: Callable[[str, str], bytes]) -> bytes:
    """The digest that enters keys: that of the content with the fingerprints of the code inside, as of now.

    Parameters
    ----------
    content, code
        Of a `ValueDigest`.
    of_reference
        Gives the fingerprint of (module, qualified name).
    """
    if not code:
        return content
    return hash_bytes(b"".join((b"jpipe value with code 1\0", content, *(of_reference(*name) for name in code))))


def combine(kind: str, children: Sequence[bytes]) -> bytes:
    """The digest of a list, tuple or dict that is put together from values that are known by their digests.

    Parameters
    ----------
    kind
        ``"list"``, ``"tuple"`` or ``"dict"``; of a dict the digests of its keys and values in turn.
    children
        Digests, 32 bytes each.
    """
    return combine_joined(kind, b"".join(children))


def combine_joined(kind: str, children: bytes | bytearray) -> bytes:
    """`combine` of digests that are joined already."""
    head = b"".join((b"jpipe combined 1\0", kind.encode(), b"\0", count(len(children) // 32)))
    # Very many are not copied for their head.
    return new_hash().update(head).update(children).digest() if len(children) > _MANY else hash_bytes(head + children)
