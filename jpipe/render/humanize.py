"""Numbers as people say them: durations, sizes, counts, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MANY_STEPS", "about", "ago", "brief", "clock", "counted", "foreign_text", "listed", "size", "took"]

MANY_STEPS = 20
"""Of more steps than this, those that matter less are told together."""
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def took(seconds: float) -> str:
    """A duration that was measured: ``0.4s``, ``71s``, ``1m52s``, ``2h05m``."""
    seconds = max(0.0, seconds)
    if seconds < 99.95:
        return f"{seconds:.1f}s" if seconds < 9.95 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def brief(seconds: float) -> str:
    """What may be very short: ``3ms``, else as `took` says it."""
    return f"{seconds * 1000:.0f}ms" if 0 < seconds < 0.095 else took(seconds)


def about(seconds: float) -> str:
    """A duration that was estimated: ``under 1s``, ``about 6s``, ``about 2m``."""
    if seconds < 0.95:
        return "under 1s"
    if seconds < 90:
        return f"about {round(seconds)}s"
    minutes = round(seconds / 60)
    return f"about {minutes}m" if minutes < 90 else f"about {minutes // 60}h{minutes % 60:02d}m"


def ago(seconds: float) -> str:
    """How long something is past: ``just now``, ``5 min ago``, ``2 h ago``, ``3 days ago``."""
    if seconds < 60:
        return "just now"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86400)} days ago"


def size(nbytes: float) -> str:
    """A size in units of 1000: ``460 B``, ``4.1 kB``, ``1.3 GB``."""
    value = float(nbytes)
    for unit in _UNITS:
        if value < 999.5 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 item``, ``9 items``, ``10,000 items``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(things: Sequence[str], most: int = 4) -> str:
    """``a, b, c``, and how many more there are."""
    shown = ", ".join(things[:most])
    return f"{shown} and {len(things) - most} more" if len(things) > most else shown


def clock(seconds: float) -> str:
    """A duration as a bar shows it: ``00:07``, ``1:02:33``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def foreign_text(results: int) -> str:
    """That a cache has results which nothing vouches for here."""
    return f"{counted(results, 'result')} signed with another key do not count: JPIPE_KEY_FILE says whose key is used"
