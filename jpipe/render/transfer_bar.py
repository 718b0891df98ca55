"""The bar of a transfer to or from a remote cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpipe.parallel.bar import Bar, default_bar
from jpipe.render.humanize import size

if TYPE_CHECKING:
    from jpipe.render.terminal import Paper

__all__ = ["TransferBar"]


class TransferBar(Bar):
    """Counts transfers that ended, on a terminal; nothing is shown elsewhere.

    Parameters
    ----------
    paper
        Where it is drawn.
    label
        What stands before it.
    """

    def __init__(self, paper: Paper, label: str) -> None:
        options = {"desc": label, "unit": "file", "file": paper.stream, "leave": False, "dynamic_ncols": True}
        super().__init__(default_bar(), {**options, "disable": not paper.is_terminal})

    def moved(self, done: int, of: int, nbytes: int) -> None:
        """`done` of `of` transfers ended, with so many bytes."""
        self.show(done, of, size(nbytes))
