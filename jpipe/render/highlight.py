"""Python source in colour."""

from __future__ import annotations

import io

from rich.console import Console
from rich.syntax import Syntax

__all__ = ["highlighted"]


def highlighted(text: str) -> str:
    """A line of Python with escape codes, in the terminal's own sixteen colours."""
    stream = io.StringIO()
    console = Console(
        file=stream, force_terminal=True, color_system="standard", width=10_000, legacy_windows=False, _environ={}
    )
    console.print(Syntax("", "python", theme="ansi_dark").highlight(text), end="", soft_wrap=True)
    return stream.getvalue().rstrip("\n")
