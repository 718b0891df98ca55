"""What can be configured, declared once: ``[tool.jpipe]`` in pyproject.toml < ``JPIPE_*`` < flags.

The command line derives its flags from `SETTINGS`, and so do the checks of the file and of the environment. A key that
is not in `SETTINGS` is an error wherever it stands, because a misspelt setting that does nothing is worse than none.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.errors import ConfigurationError, Location, UsageError, nearest

__all__ = ["SETTINGS", "Setting", "Settings", "settings_for"]

_PREFIX = "JPIPE_"
_NOT_SETTINGS = frozenset({"JPIPE_KEY_FILE"})
"""Variables of that prefix which other rooms read; they are not settings."""
_PROFILES = "profiles"
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
        return _PREFIX + self.name.upper()


class Settings(NamedTuple):
    """All settings of one invocation, checked.

    Parameters
    ----------
    file
        The pipeline file that is meant where none is named.
    jobs
        Number of workers, joblib's ``n_jobs``; None leaves it to ``joblib.parallel_config``, else all cores.
    backend, backend_options
        joblib backend and its keyword arguments.
    cache_dir
        Folder of the cache; None for ``cache/`` in the project.
    keep_going, fail_fast
        What a failure stops.
    progress, color, tb
        How a run is shown.
    parameters
        Parameters of the pipeline that the chosen profile gives.
    origins
        For each setting that was set: where.
    """

    file: Path = Path("pipeline.py")
    jobs: int | None = None
    backend: str | None = None
    backend_options: Mapping[str, object] = {}
    cache_dir: Path | None = None
    keep_going: bool = False
    fail_fast: bool = False
    progress: str = "auto"
    color: str = "auto"
    tb: str = "short"
    parameters: Mapping[str, object] = {}
    origins: Mapping[str, str] = {}


def settings_for(
    start: Path,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    profile: str | None = None,
) -> Settings:
    """The settings that hold for a pipeline file.

    Parameters
    ----------
    start
        The pipeline file or its folder: its nearest ``pyproject.toml`` counts.
    flags
        Values given on the command line by setting name; None stands for not given.
    environment
        The environment variables; default `os.environ`.
    profile
        Name of a table ``[tool.jpipe.profiles.NAME]``, whose settings are stronger than those of ``[tool.jpipe]`` and
        whose ``parameters`` are parameters of the pipeline.

    Raises
    ------
    ConfigurationError
        For an unknown key, or a value that cannot be used, in the file or the environment.
    UsageError
        For such a value of a flag.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    sources = (
        *_from_project(start, profile),
        _from_environment(os.environ if environment is None else environment),
        _from_flags(flags or {}),
    )
    for source in sources:
        found = list(source)
        _refuse_both({name: origin for name, value, origin in found if value is True})
        for name, value, origin in found:
            if value is True and name in _OPPOSITE:
                values[_OPPOSITE[name]] = False
            values[name] = value
            origins[name] = origin
    return Settings(**values, origins=origins)


_OPPOSITE = {"keep_going": "fail_fast", "fail_fast": "keep_going"}
"""Settings of which the stronger source's one turns the other off."""


def _refuse_both(switched_on: Mapping[str, str]) -> None:
    if _OPPOSITE.keys() <= switched_on.keys():
        raise UsageError(
            f"{switched_on['keep_going']} and {switched_on['fail_fast']} exclude each other",
            hint="take one: keep going runs all that can run after a failure, fail fast stops at once",
        )


Found = Iterable[tuple[str, object, str]]
"""Setting name, checked value, and where it was set."""


def _from_flags(flags: Mapping[str, object]) -> Found:
    for name, value in flags.items():
        if value is None or value == ():
            continue
        setting = SETTINGS[name]
        origin = setting.flags[-1].split("/")[0]
        yield name, _checked(setting, value, UsageError, f"{origin} {_shown(value)}"), origin


def _from_environment(environment: Mapping[str, str]) -> Found:
    by_variable = {setting.variable: setting for setting in SETTINGS.values()}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(_PREFIX) or variable in _NOT_SETTINGS or not text:
            continue
        if variable not in by_variable:
            raise ConfigurationError(
                f"the environment variable {variable} is not a setting of jpipe", hint=_near(variable, by_variable)
            )
        setting = by_variable[variable]
        value = _checked(setting, text, ConfigurationError, f"{variable}={text}")
        yield setting.name, _rooted(value, Path.cwd()), variable


def _from_project(start: Path, profile: str | None) -> tuple[Found, ...]:
    file = _nearest_pyproject(start)
    table = {} if file is None else _table(file)
    profiles = table.pop(_PROFILES, {})
    if profile is None:
        return (_from_table(file, table),) if file is not None else ()
    chosen = profiles.get(profile) if isinstance(profiles, dict) else None
    if file is None or not isinstance(chosen, dict):
        there = sorted(profiles) if isinstance(profiles, dict) else []
        hint = _near(profile, there) if there else f"write [tool.jpipe.{_PROFILES}.{profile}] in pyproject.toml"
        raise UsageError(f"there is no profile {profile!r}", hint=hint)
    parameters = chosen.pop("parameters", {})
    if not isinstance(parameters, dict):
        place = Location(str(file), 1)
        raise ConfigurationError(f"parameters of the profile {profile} have to be a table", location=place)
    named = f"profile {profile}"
    return _from_table(file, table), _from_table(file, chosen), [("parameters", parameters, named)]


def _from_table(file: Path, table: Mapping[str, object]) -> Found:
    for key, value in table.items():
        place = Location(str(file), _line_of(file, key))
        if key not in SETTINGS:
            raise ConfigurationError(f"[tool.jpipe] has no setting {key!r}", location=place, hint=_near(key, SETTINGS))
        setting = SETTINGS[key]
        checked = _checked(setting, value, ConfigurationError, f"{key} = {_shown(value)}", place)
        yield key, _rooted(checked, file.parent), f"{key} in {file.name}"


def _nearest_pyproject(start: Path) -> Path | None:
    here = Path(os.path.abspath(start))
    for folder in (here, *here.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            return file
    return None


def _table(file: Path) -> dict[str, object]:
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


def _line_of(file: Path, key: str) -> int:
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


def _rooted(value: object, folder: Path) -> object:
    """Relative paths count from the file that names them, not from where the command is typed."""
    return folder / value if isinstance(value, Path) else value


def _checked(
    setting: Setting, value: object, kind: type[UsageError], given: str, location: Location | None = None
) -> object:
    try:
        return setting.parse(value)
    except ValueError as problem:
        near = nearest(str(value), setting.choices)
        hint = f"did you mean {near}?" if near else f"write {setting.takes}"
        raise kind(f"{given}: {problem}", location=location, hint=hint) from None


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _near(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = nearest(word, known)
    return f"did you mean {near}?" if near else f"there are {', '.join(known)}"


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
        raise ValueError("that is an address, and the cache has to be a folder")
    return _path(value)


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
    Setting("cache_dir", _folder, "the path of a folder", "Folder of the cache.", ("--cache-dir",)),
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
)

SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _DECLARED}
