"""What can be configured: ``[tool.jpipe]`` in pyproject.toml, or jpipe.toml < ``JPIPE_*`` < flags.

`declared` says how each is written, and `Settings` what it is in code; a test holds the two together. The command
line derives its flags from `SETTINGS`, and so do the checks of the file and of the environment. A key that is not in
`SETTINGS` is an error wherever it stands, because a misspelt setting that does nothing is worse than none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jpipe.errors import ConfigurationError, Location, UsageError, nearest
from jpipe.settings.declared import PREFIX, SETTINGS, Setting
from jpipe.settings.pyproject import ProjectFile, nearest_settings

__all__ = ["SETTINGS", "Setting", "Settings", "settings_for"]

_NOT_SETTINGS = frozenset({"JPIPE_KEY_FILE"})
"""Variables of that prefix which other rooms read; they are not settings."""
_PROFILES = "profiles"


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
    cache_size
        Bytes that the cache may have; None for 50 GiB or a fifth of the disk, looked at once a day.
    remote, remote_key, remote_options, remote_push
        Address of the remote cache, None or ``"off"`` for none; the file of the key that signs what is there, None for
        this user's own; arguments of the address's file system; whether runs write there.
    keep_going, fail_fast
        What a failure stops.
    progress, color, tb
        How a run is shown.
    code
        Which of the code that a step can reach counts: what ran, or all of it.
    pythonpath
        Folders in which modules of the project are found, beside that of the pipeline file.
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
    cache_size: int | None = None
    remote: str | None = None
    remote_key: Path | None = None
    remote_options: Mapping[str, object] = {}
    remote_push: bool = True
    keep_going: bool = False
    fail_fast: bool = False
    progress: str = "auto"
    color: str = "auto"
    tb: str = "short"
    code: str = "reachable"
    pythonpath: tuple[Path, ...] = ()
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
        The pipeline file or its folder: its nearest ``pyproject.toml`` or ``jpipe.toml`` counts.
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
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS or not text:
            continue
        if variable not in by_variable:
            raise ConfigurationError(
                f"the environment variable {variable} is not a setting of jpipe", hint=_near(variable, by_variable)
            )
        setting = by_variable[variable]
        value = _checked(setting, text, ConfigurationError, f"{variable}={text}")
        yield setting.name, _rooted(value, Path.cwd()), variable


def _from_project(start: Path, profile: str | None) -> tuple[Found, ...]:
    file = nearest_settings(start)
    table = {} if file is None else dict(file.table)
    profiles = table.pop(_PROFILES, {})
    if profile is None:
        return (_from_table(file, table),) if file is not None else ()
    chosen = profiles.get(profile) if isinstance(profiles, dict) else None
    if file is None or not isinstance(chosen, dict):
        there = sorted(profiles) if isinstance(profiles, dict) else []
        heading = file.heading(_PROFILES, profile) if file is not None else f"[tool.jpipe.{_PROFILES}.{profile}]"
        name = file.path.name if file is not None else "pyproject.toml"
        hint = _near(profile, there) if there else f"write {heading} in {name}"
        raise UsageError(f"there is no profile {profile!r}", hint=hint)
    parameters = chosen.pop("parameters", {})
    if not isinstance(parameters, dict):
        place = Location(str(file.path), 1)
        raise ConfigurationError(f"parameters of the profile {profile} have to be a table", location=place)
    named = f"profile {profile}"
    return _from_table(file, table), _from_table(file, chosen), [("parameters", parameters, named)]


def _from_table(file: ProjectFile, table: Mapping[str, object]) -> Found:
    for key, value in table.items():
        place = Location(str(file.path), file.line_of(key))
        if key not in SETTINGS:
            raise ConfigurationError(f"{file.title} has no setting {key!r}", location=place, hint=_near(key, SETTINGS))
        setting = SETTINGS[key]
        checked = _checked(setting, value, ConfigurationError, f"{key} = {_shown(value)}", place)
        yield key, _rooted(checked, file.path.parent), f"{key} in {file.path.name}"


def _rooted(value: object, folder: Path) -> object:
    """Relative paths count from the file that names them, not from where the command is typed."""
    if isinstance(value, tuple):
        return tuple(_rooted(part, folder) for part in value)
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
