"""The file that holds a project's settings: the ``[tool.jpipe]`` table of a pyproject.toml, or a jpipe.toml."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from jpipe.errors import ConfigurationError, Location

__all__ = ["ProjectFile", "nearest_settings"]

_OWN = "jpipe.toml"


class ProjectFile(NamedTuple):
    """Where settings stand.

    Parameters
    ----------
    path
        A ``pyproject.toml`` or ``jpipe.toml``.
    table
        What it says of jpipe.
    """

    path: Path
    table: dict[str, object]

    @property
    def title(self) -> str:
        """What the table is called: ``[tool.jpipe]`` or ``jpipe.toml``."""
        return _OWN if self.path.name == _OWN else "[tool.jpipe]"

    def heading(self, *keys: str) -> str:
        """The heading of a table below it: ``[tool.jpipe.profiles.quick]``."""
        return f"[{'.'.join((*(() if self.path.name == _OWN else ('tool', 'jpipe')), *keys))}]"

    def line_of(self, key: str) -> int:
        """The line on which `key` is set, or that of the table."""
        own = self.path.name == _OWN
        table, inside = 1, own
        own_table = re.compile(rf"\[{'' if own else 'tool.jpipe.'}[\"']?{re.escape(key)}\b")
        assignment = re.compile(rf"[\"']?{re.escape(key)}[\"']?\s*[=.]")
        for number, line in enumerate(self.path.read_text("utf-8").splitlines(), 1):
            text = line.strip()
            if own_table.match(text) or (inside and assignment.match(text)):
                return number
            if text.startswith("["):
                inside = not own and text.startswith("[tool.jpipe]")
                table = number if inside else table
        return table


def nearest_settings(start: Path) -> ProjectFile | None:
    """The nearest file upwards that holds settings: a jpipe.toml that says anything, or a pyproject.toml.

    Raises
    ------
    ConfigurationError
        When it cannot be read, or both of a folder hold settings.
    """
    here = Path(os.path.abspath(start))
    for folder in (here, *here.parents):
        own, shared = folder / _OWN, folder / "pyproject.toml"
        settings = _parsed(own) if own.is_file() else {}
        if not settings and shared.is_file():
            return ProjectFile(shared, _tool_table(shared))
        if settings:
            if shared.is_file() and _tool_table(shared):
                place = Location(str(own), 1)
                hint = "put all of them into one of the files"
                raise ConfigurationError(f"both {_OWN} and pyproject.toml hold settings", location=place, hint=hint)
            return ProjectFile(own, settings)
    return None


def _tool_table(file: Path) -> dict[str, object]:
    """The ``[tool.jpipe]`` table; a file that never mentions jpipe is not even parsed."""
    tool = _parsed(file, b"jpipe").get("tool", {})
    table = tool.get("jpipe", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        hint = "write [tool.jpipe] and settings below it"
        raise ConfigurationError(f"tool.jpipe in {file} is not a table", hint=hint)
    return table


def _parsed(file: Path, mention: bytes = b"=") -> dict[str, object]:
    """What a TOML file says; nothing of one that does not contain `mention`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    if mention not in data:
        return {}
    import tomllib

    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{file.name} is not valid TOML: {error}",
            location=_toml_error_line(file, str(error)),
            hint="mend that line",
        ) from None


def _toml_error_line(file: Path, message: str) -> Location:
    found = re.search(r"at line (\d+)", message)
    return Location(str(file), int(found.group(1)) if found else 1)
