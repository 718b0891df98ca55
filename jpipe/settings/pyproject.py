"""The ``[tool.jpipe]`` table of a pyproject.toml, and the lines on which its keys stand."""

from __future__ import annotations

import os
import re
from pathlib import Path

from jpipe.errors import ConfigurationError, Location

__all__ = ["line_of", "nearest_pyproject", "tool_table"]


def nearest_pyproject(start: Path) -> Path | None:
    """The nearest ``pyproject.toml`` upwards."""
    here = Path(os.path.abspath(start))
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            return file
    return None


def tool_table(file: Path) -> dict[str, object]:
    """The ``[tool.jpipe]`` table; a file that never mentions jpipe is not even parsed."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read {file}: {error.strerror}") from None
    if b"jpipe" not in data:
        return {}
    import tomllib

    try:
        tool = tomllib.loads(data.decode()).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{file.name} is not valid TOML: {error}",
            location=_toml_error_line(file, str(error)),
            hint="mend that line",
        ) from None
    table = tool.get("jpipe", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        hint = "write [tool.jpipe] and settings below it"
        raise ConfigurationError(f"tool.jpipe in {file} is not a table", hint=hint)
    return table


def _toml_error_line(file: Path, message: str) -> Location:
    found = re.search(r"at line (\d+)", message)
    return Location(str(file), int(found.group(1)) if found else 1)


def line_of(file: Path, key: str) -> int:
    """The line on which `key` is set below ``[tool.jpipe]``, or that of the table."""
    table, inside = 1, False
    own_table = re.compile(rf"\[tool\.jpipe\.[\"']?{re.escape(key)}\b")
    assignment = re.compile(rf"[\"']?{re.escape(key)}[\"']?\s*[=.]")
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if own_table.match(text) or (inside and assignment.match(text)):
            return number
        if text.startswith("["):
            inside = text.startswith("[tool.jpipe]")
            table = number if inside else table
    return table
