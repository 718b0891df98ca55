"""Errors as people see them: a mistake that they can mend as one message, a bug with all that a report needs."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from jpipe.render.source_excerpt import excerpt, place
from jpipe.render.styled_text import Line, bad, dim, line, name

if TYPE_CHECKING:
    from jpipe.errors import JpipeError

__all__ = ["bug_screen", "problem_screen"]


def problem_screen(error: JpipeError) -> list[Line]:
    """What happened, what to do, and where in the user's file."""
    first, *rest = error.message.strip().splitlines() or [type(error).__name__]
    lines = [line(bad("✗ "), first), *(line("  ", text) for text in rest)]
    if error.hint:
        lines += [line("  ", text) for text in error.hint.splitlines()]
    if error.location is not None:
        lines.append(line("  ", name(place(error.location.file, error.location.line))))
        lines += excerpt(error.location.file, error.location.line, before=0)
    return lines


def bug_screen(error: BaseException, version: str) -> list[Line]:
    """A traceback, and the request to report it."""
    lines = [line(text) for part in traceback.format_exception(error) for text in part.rstrip("\n").splitlines()]
    python = ".".join(map(str, sys.version_info[:3]))
    return [
        *lines,
        (),
        line(bad("✗ "), "this is a bug in jpipe, not in your pipeline; what finished is kept in the cache"),
        line("  please report it on jpipe's issue page, with the lines above and the command that you typed"),
        line(dim(f"  jpipe {version}, Python {python} on {sys.platform}")),
    ]
