"""The commands that messages tell people to type: only ones that exist, spelt so that they work as shown."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Commands"]


@dataclass(frozen=True, slots=True)
class Commands:
    """How to call jpipe again about the same pipeline.

    Parameters
    ----------
    known
        Names of the commands that there are.
    where
        What names the pipeline on the command line: empty for the default file, else ``FILE`` or ``FILE:PIPELINE``.
    parameters
        The ``--set`` arguments of this call, which the next one has to repeat to mean the same items.
    cache_dir
        The ``--cache-dir`` of this call, or "".
    """

    known: Collection[str] = ("run",)
    where: str = ""
    parameters: tuple[str, ...] = ()
    cache_dir: str = ""

    def text(self, command: str, *arguments: str, parameters: bool = True) -> str | None:
        """The command line, or None when there is no such command."""
        if command not in self.known:
            return None
        words = ["jpipe", command, *([self.where] if self.where else []), *arguments]
        if parameters:
            words += [word for pair in self.parameters for word in ("--set", pair)]
        if self.cache_dir:
            words += ["--cache-dir", self.cache_dir]
        return shlex.join(words)
