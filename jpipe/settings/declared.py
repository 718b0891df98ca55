"""The settings that there are: what each takes, and its flags."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

__all__ = ["PREFIX", "SETTINGS", "Setting", "bytes_of"]

PREFIX = "JPIPE_"
"""What the names of environment variables that are settings begin with."""
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class Setting(NamedTuple):
    """One thing that can be configured.

    Parameters
    ----------
    name
        Its key in ``[tool.jpipe]``; upper case and after ``JPIPE_`` it is the variable's name.
    parse
        Takes text (from the environment or a flag) or a value of TOML and returns the checked value; raises
        `ValueError` with what is wrong about it.
    takes
        What it takes, in words that complete "write ...".
    help
        One sentence.
    flags
        Its spelling on the command line, as click reads it; empty for none.
    choices
        All its values, where they are a closed set.
    """

    name: str
    parse: Callable[[object], object]
    takes: str
    help: str
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()


def _jobs(value: object) -> int:
    try:
        number = int(str(value)) if not isinstance(value, (bool, float)) else 0
    except ValueError:
        raise ValueError("that is not a number of workers") from None
    if number == 0:
        raise ValueError("a run needs at least one worker" if str(value) == "0" else "that is not a number of workers")
    return number


def _truth(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise ValueError("that is neither true nor false")
    return text in _TRUE


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("that is not a name")
    return value.strip()


def _path(value: object) -> Path:
    return Path(_text(str(value) if isinstance(value, Path) else value)).expanduser()


def _folder(value: object) -> Path:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(value)):
        raise ValueError("that is an address, and the cache is a folder; an address goes into the setting remote")
    return _path(value)


def _address(value: object) -> str:
    text = _text(value)
    if text != "off" and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", text):
        raise ValueError("that is not an address")
    return text


def _folders(value: object) -> tuple[Path, ...]:
    """Folders from a list of TOML, or from a text with the system's separator between them."""
    parts = value if isinstance(value, (list, tuple)) else _text(value).split(os.pathsep)
    return tuple(_folder(part) for part in parts)


def bytes_of(value: object) -> int:
    """A number of bytes from ``1048576``, ``"1M"``, ``"1.5G"`` or ``"600kB"`` (units of 1024).

    Raises
    ------
    ValueError
        For anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = str(value).strip().upper().removesuffix("IB").removesuffix("B")
    unit = text[-1:] if text[-1:] in _UNITS else ""
    try:
        number = float(text[: len(text) - len(unit)])
        if number >= 0:
            return int(number * _UNITS[unit])
    except (ValueError, OverflowError):
        pass
    raise ValueError("that is not a size")


_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _pairs(value: object) -> dict[str, object]:
    """A table of TOML, texts ``name=value`` from flags, or such pairs with commas between from the environment."""
    if isinstance(value, dict):
        return value
    texts = value if isinstance(value, (tuple, list)) else str(value).split(",")
    pairs: dict[str, object] = {}
    for text in texts:
        name, equals, content = str(text).partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"{text!r} is not a pair")
        pairs[name.strip()] = _literal(content.strip())
    return pairs


def _literal(text: str) -> object:
    """A number or truth value where `text` is one, else `text`."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError("there is no such value")
        return str(value)

    return parse


def _choice(name: str, sentence: str, *choices: str) -> Setting:
    return Setting(name, _one_of(*choices), " or ".join(choices), sentence, (f"--{name}",), choices)


_DECLARED = (
    Setting("file", _path, "the path of a pipeline file", "The pipeline file that is meant where none is named."),
    Setting(
        "jobs",
        _jobs,
        "a whole number from 1, -1 for all cores, -2 for all but one",
        "Number of workers; -1 for all cores.",
        ("-j", "--jobs"),
    ),
    Setting(
        "backend",
        _text,
        "the name of a joblib backend: preloaded, loky, threading, dask, ray",
        "joblib backend: preloaded (default), loky, threading, dask, ray or a registered one.",
        ("--backend",),
    ),
    Setting(
        "backend_options",
        _pairs,
        "name=value",
        "An argument of the backend, name=value; may be repeated.",
        ("--backend-option",),
    ),
    Setting(
        "cache_size",
        bytes_of,
        "bytes, or 500M, 10G",
        "How large the cache may be: after a run, what was used least recently goes, but nothing that last runs use.",
    ),
    Setting("cache_dir", _folder, "the path of a folder", "Folder of the cache.", ("--cache-dir",)),
    Setting(
        "remote",
        _address,
        "an address such as s3://bucket/study or file:///mnt/team/study, or off",
        "Address of a cache for many machines: what is there is not computed, and what a run computed goes there.",
    ),
    Setting("remote_key", _path, "the path of a file", "File with the team's key, which signs what is there."),
    Setting(
        "remote_options",
        _pairs,
        "name=value",
        "Arguments of the file system of that address, as fsspec takes them.",
    ),
    Setting("remote_push", _truth, "true or false", "Whether a run writes there what it computed."),
    Setting(
        "keep_going",
        _truth,
        "true or false",
        "After a failure, run everything that does not need it.",
        ("-k", "--keep-going/--no-keep-going"),
    ),
    Setting(
        "fail_fast",
        _truth,
        "true or false",
        "After a failure, stop at once instead of finishing the step's other items.",
        ("-x", "--fail-fast/--no-fail-fast"),
    ),
    _choice("progress", "How progress is shown.", "auto", "bars", "workers", "plain", "off"),
    _choice("color", "Whether text for people is coloured.", "auto", "always", "never"),
    _choice("tb", "How much of a traceback is shown.", "short", "long", "native"),
    Setting(
        "code",
        _one_of("ran", "reachable"),
        "ran or reachable",
        "Which of the code that a step can reach counts: what its items ran, or all of it.",
        choices=("ran", "reachable"),
    ),
    Setting(
        "pythonpath",
        _folders,
        'folders: ["src", "lib"]',
        "Folders in which modules of the project are found, beside that of the pipeline file and `src`.",
    ),
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _DECLARED}
