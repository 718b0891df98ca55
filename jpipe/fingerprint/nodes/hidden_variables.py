"""Environment variables that the standard library reads for code that does not name them."""

from __future__ import annotations

import os

__all__ = ["hidden_variables"]

_LOCAL_TIME = frozenset(
    {"fromtimestamp", "localtime", "mktime", "ctime", "astimezone", "timestamp", "now", "today", "tzlocal"}
)
_HOME = ("USERPROFILE", "HOMEPATH", "HOMEDRIVE") if os.name == "nt" else ("HOME",)


def hidden_variables(names: set[str]) -> list[str]:
    """The variables behind the names that a function uses: `TZ` for local times, `HOME` for a user's folder."""
    found: list[str] = []
    if not _LOCAL_TIME.isdisjoint(names):
        found.append("TZ")
    if "expanduser" in names or {"Path", "home"} <= names:
        found += _HOME
    if "getuser" in names:
        found += ["LOGNAME", "USER", "LNAME", "USERNAME"]
    return found
