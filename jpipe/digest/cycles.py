"""Groups of objects that contain each other: encoded as a whole, by their shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from blake3 import blake3

from jpipe.digest.canonical import Node, Tag, count

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Member", "encode_group"]


class Member(Protocol):
    """An object of the group: its node, and what is inside it, members as themselves and the rest encoded."""

    node: Node
    parts: list[bytes | Member]


M = TypeVar("M", bound=Member)


def encode_group(members: Sequence[M]) -> dict[int, bytes]:
    """The encodings of the members, by their `id`.

    All members are numbered in the order in which they are met from one of them, and written down with their numbers
    instead of themselves. Which one comes first is decided by content, so that the same group gives the same
    encodings wherever it is entered. (Where several members look alike, the one that was entered first is taken.)
    """
    colours = _refine(members)
    first = min(members, key=lambda member: colours[id(member)])
    order = _walk(first, colours)
    numbers = {id(member): number for number, member in enumerate(order)}
    text = blake3(count(len(order)))
    for member in order:
        text.update(_write(member, colours, numbers))
    whole = text.digest()
    return {key: Tag.CYCLE + count(number) + whole for key, number in numbers.items()}


def _refine(members: Sequence[M]) -> dict[int, bytes]:
    """Tell the members apart by what they hold, then by what those hold, until no more can be told apart."""
    colours = {id(member): b"" for member in members}
    distinct = 0
    while True:
        colours = {id(member): blake3(member.node.assemble(_painted(member, colours))).digest() for member in members}
        if len(set(colours.values())) == distinct:
            return colours
        distinct = len(set(colours.values()))


def _painted(member: Member, colours: dict[int, bytes]) -> list[bytes]:
    return [part if isinstance(part, bytes) else Tag.CYCLE + colours[id(part)] for part in member.parts]


def _arranged(member: Member, colours: dict[int, bytes]) -> list[bytes | Member]:
    if not member.node.unordered:
        return member.parts
    painted = _painted(member, colours)
    return [member.parts[i] for i in sorted(range(len(painted)), key=painted.__getitem__)]


def _walk(first: M, colours: dict[int, bytes]) -> list[Member]:
    order: list[Member] = []
    seen: set[int] = set()
    waiting: list[Member] = [first]
    while waiting:
        member = waiting.pop()
        if id(member) not in seen:
            seen.add(id(member))
            order.append(member)
            waiting.extend(part for part in reversed(_arranged(member, colours)) if not isinstance(part, bytes))
    return order


def _write(member: Member, colours: dict[int, bytes], numbers: dict[int, int]) -> bytes:
    parts = [
        part if isinstance(part, bytes) else Tag.CYCLE + count(numbers[id(part)]) for part in _arranged(member, colours)
    ]
    return b"".join((member.node.head, *parts, member.node.tail))
