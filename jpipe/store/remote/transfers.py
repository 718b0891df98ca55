"""Many transfers at once, in threads that never keep the process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from jpipe.errors import RemoteCacheError

__all__ = ["in_parallel"]

AT_ONCE = 16
SILENCE = 60.0
"""Without any transfer that ends, the other side counts as gone after so long, seconds."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    work: Callable[[Item], Result], items: Sequence[Item], *, silence: float = SILENCE, at_once: int = AT_ONCE
) -> Iterator[tuple[Item, Result | BaseException]]:
    """Do `work` for each item; gives (item, what it returned or raised) in the order in which they end.

    Raises
    ------
    RemoteCacheError
        If nothing ends for `silence` seconds; threads that hang are left behind.
    """
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[Item, Result | BaseException]] = queue.SimpleQueue()
    stopped = threading.Event()
    for item in items:
        waiting.put(item)

    def go() -> None:
        while not stopped.is_set():
            try:
                item = waiting.get(block=False)
            except queue.Empty:
                return
            try:
                ended.put((item, work(item)))
            except BaseException as error:
                ended.put((item, error))

    for number in range(min(at_once, len(items))):
        threading.Thread(target=go, name=f"jpipe-transfer-{number}", daemon=True).start()
    try:
        for _ in items:
            try:
                yield ended.get(timeout=silence)
            except queue.Empty:
                raise RemoteCacheError(f"no answer for {silence:g} s") from None
    finally:
        stopped.set()
