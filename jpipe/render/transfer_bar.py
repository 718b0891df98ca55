"""The bar of a transfer to or from a remote cache."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from jpipe.render.humanize import size

if TYPE_CHECKING:
    from jpipe.render.terminal import Paper

__all__ = ["TransferBar"]


class TransferBar:
    """Counts transfers that ended, on a terminal; nothing is shown elsewhere.

    Parameters
    ----------
    paper
        Where it is drawn.
    label
        What stands before it.
    """

    def __init__(self, paper: Paper, label: str) -> None:
        self._paper = paper
        self._label = label
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def moved(self, done: int, of: int, nbytes: int) -> None:
        """`done` of `of` transfers ended, with so many bytes."""
        if not self._paper.is_terminal:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(desc=self._label, unit="file", file=self._paper.stream, leave=False, dynamic_ncols=True)
        self._bar.total = of
        self._bar.n = done
        self._bar.set_postfix_str(size(nbytes), refresh=False)
        self._bar.refresh()
