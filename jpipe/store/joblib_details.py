"""What `joblib.Memory.reduce_size` removes: what was not used for longest, until the cache is within its limits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jpipe.model.step_options import parse_bytes

__all__ = ["ItemInfo", "excess"]


class ItemInfo(NamedTuple):
    """What joblib wants to know of an item to decide which to remove."""

    path: str
    size: int
    last_access: dt.datetime


def excess(
    items: Iterable[ItemInfo],
    bytes_limit: int | str | None,
    items_limit: int | None,
    age_limit: dt.timedelta | None,
) -> Iterator[ItemInfo]:
    """The items that have to go, the one that was not used for longest first.

    Parameters
    ----------
    items
        All that there are.
    bytes_limit, items_limit, age_limit
        What they may be together at most; None: any.
    """
    if age_limit is not None and age_limit.total_seconds() < 0:
        raise ValueError("age_limit has to be a positive timedelta")
    ordered = sorted(items, key=lambda item: item.last_access)
    limit = parse_bytes(bytes_limit, "bytes_limit") if bytes_limit is not None else None
    oldest = None if age_limit is None else dt.datetime.now(dt.UTC) - age_limit
    left = _Left(sum(item.size for item in ordered), len(ordered), limit, items_limit, oldest)
    for item in ordered:
        if not left.takes(item):
            return
        yield item


@dataclass(slots=True)
class _Left:
    """What is there still; items are offered to it from the one that was not used for longest."""

    size: int
    count: int
    size_limit: int | None
    count_limit: int | None
    oldest: dt.datetime | None

    def takes(self, item: ItemInfo) -> bool:
        """Whether `item` has to go."""
        too_large = self.size_limit is not None and self.size > self.size_limit
        too_many = self.count_limit is not None and self.count > self.count_limit
        too_old = self.oldest is not None and item.last_access <= self.oldest
        self.size -= item.size
        self.count -= 1
        return too_large or too_many or too_old
