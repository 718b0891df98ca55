"""Parameters of a pipeline from a file: TOML, YAML or JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jpipe.errors import Location, UsageError

__all__ = ["read_parameters"]


def read_parameters(file: str | Path) -> dict[str, Any]:
    """What a file says of parameters, by name.

    Parameters
    ----------
    file
        Its ending says how it is read: ``.toml``, ``.json``, ``.yaml`` or ``.yml``.

    Raises
    ------
    UsageError
        When it cannot be read, or does not hold a table of names and values.
    """
    path = Path(file)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"--params {file}: its name has to end with {', '.join(_READERS)}")
    try:
        values = reader(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--params {file}: {error.strerror}") from None
    except ValueError as error:  # of TOML, JSON, YAML and UTF-8
        line = getattr(error, "lineno", None) or 1
        raise UsageError(f"--params {file} cannot be read: {error}", location=Location(str(path), line)) from None
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise UsageError(f"--params {file}: it has to hold a table of names and values")
    return values


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise UsageError("reading YAML needs PyYAML", hint="pip install pyyaml, or write TOML") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


_READERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads, ".yaml": _yaml, ".yml": _yaml}
