"""The options of a step, declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jpipe.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import TypedDict

    class StepKeywords(TypedDict, total=False):
        """The options as `step` takes them, for type checkers: forms that `StepOptions` stores in one way."""

        name: str | None
        version: str | int | None
        ignore: str | Sequence[str]
        cache: bool
        expires: float | str | timedelta | None
        n_jobs: int | None
        prefer: Literal["processes", "threads"]
        batch_size: int | Literal["auto"]
        retries: int
        timeout: float | str | timedelta | None
        memory: int | str | None
        max_nbytes: int | str | None
        mmap_mode: Literal["c", "r"] | None
        compress: bool | int | str | tuple[str, int]
        hash: Mapping[type, Callable[[Any], Any]]
        env: str | Sequence[str]
        packages: str | Sequence[str]
        depends: Any
        tags: str | Sequence[str]
        code: Literal["ran", "reachable"] | None


__all__ = ["StepOptions", "parse_bytes", "parse_duration"]

_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


class StepOptions(NamedTuple):
    """How a step is remembered and run; the names are joblib's wherever joblib has one.

    Parameters
    ----------
    name
        What the step is called in messages. Default: the function's name.
    version
        Replaces the fingerprint of the code: results are reused until this changes, whatever is edited.
    ignore
        Names of parameters that do not count for the key.
    cache
        False: never stored, runs in every run.
    expires
        How long a result counts: seconds, or ``"90s"``, ``"10min"``, ``"12h"``, ``"1d"``, ``"2w"``.
    n_jobs
        How many items of this step may run at once; None for no limit of its own.
    prefer
        ``"processes"`` or ``"threads"``.
    batch_size
        Items in a chunk, or ``"auto"`` for chunks of 0.2 to 0.5 seconds.
    retries
        How often a failed item is tried again.
    timeout
        Seconds after which an item counts as failed.
    memory
        What one item needs, ``"6G"`` or bytes; other items wait until there is room for it.
    max_nbytes
        Arrays of this size or more, in bytes or ``"1M"``, are stored in files of their own and memory-mapped.
    mmap_mode
        How large arrays arrive: ``"c"`` copy-on-write, ``"r"`` read-only, None as copies in memory.
    compress
        joblib's: 0 to 9, a method name, or (method, level). Not together with memory-mapping.
    hash
        By type: a function that returns what counts of a value of that type.
    env
        Names of environment variables whose values count.
    packages
        Names of distributions whose versions count, or ``"direct"`` for those that the step's code reaches,
        or ``"none"``.
    depends
        More objects, modules, files, folders with all that is in them, or packages that count.
    tags
        Words to choose steps by: ``jpipe run -t slow``. They count for nothing else.
    code
        Which of the code that the step can reach counts: ``"ran"``, what its items ran, or ``"reachable"``, all of it.
        Default: what the settings say.
    """

    name: str | None = None
    version: str | int | None = None
    ignore: tuple[str, ...] = ()
    cache: bool = True
    expires: float | None = None
    n_jobs: int | None = None
    prefer: Literal["processes", "threads"] = "processes"
    batch_size: int | Literal["auto"] = "auto"
    retries: int = 0
    timeout: float | None = None
    memory: int | None = None
    max_nbytes: int | None = 1024**2
    mmap_mode: Literal["c", "r"] | None = "c"
    compress: bool | int | str | tuple[str, int] = 0
    hash: Mapping[type, Callable[[Any], Any]] = {}
    env: tuple[str, ...] = ()
    packages: tuple[str, ...] | Literal["direct", "none"] = "direct"
    depends: tuple[Any, ...] = ()
    tags: tuple[str, ...] = ()
    code: Literal["ran", "reachable"] | None = None

    def with_(self, **changes: Any) -> StepOptions:
        """A copy with other options, checked.

        Raises
        ------
        UsageError
            For an unknown option (with the nearest known one), a value that it cannot take, and options of which one
            says that the other has no use.
        """
        known = self._fields
        for name in changes:
            if name not in known:
                raise UsageError(
                    f"step() has no option {name!r}",
                    hint=did_you_mean(name, known, f"it has {', '.join(sorted(known))}"),
                )
        changed = self._replace(**{name: _checked(name, value) for name, value in changes.items()})
        # The default mode is no wish of anybody's.
        is_wish = "mmap_mode" in changes or self.mmap_mode != StepOptions().mmap_mode
        if changed.compress and changed.mmap_mode and is_wish:
            hint = "leave out one of them: compressed arrays cannot be mapped"
            raise UsageError(f"compress= and mmap_mode={changed.mmap_mode!r} exclude each other", hint=hint)
        if not changed.cache and changed.expires is not None:
            raise UsageError(
                "cache=False and expires= exclude each other", hint="a result that is not kept is never old"
            )
        return changed


def _checked(name: str, value: Any) -> Any:
    check = _CHECKS.get(name)
    return value if check is None else check(name, value)


def _names(name: str, value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(item, str) for item in names):
        raise UsageError(f"{name}= takes names, not {value!r}")
    return names


def _packages(name: str, value: Any) -> Any:
    return value if value in ("direct", "none") else _names(name, value)


def _depends(name: str, value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple, set)) else (value,)


def _one_of(*choices: Any) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value not in choices:
            raise UsageError(f"{name}={value!r}: it takes {' or '.join(map(repr, choices))}")
        return value

    return check


def _count(least: int, *also: Any) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value in also and not (isinstance(value, bool)):
            return value
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UsageError(
                f"{name}={value!r}: it takes a whole number from {least}" + "".join(f" or {a!r}" for a in also)
            )
        return value

    return check


def _seconds(name: str, value: Any) -> float | None:
    return None if value is None else parse_duration(value, name)


def _bytes(name: str, value: Any) -> int | None:
    return None if value is None else parse_bytes(value, name)


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "ignore": _names,
    "env": _names,
    "tags": _names,
    "packages": _packages,
    "depends": _depends,
    "prefer": _one_of("processes", "threads"),
    "mmap_mode": _one_of("c", "r", None),
    "cache": _one_of(True, False),
    "code": _one_of("ran", "reachable", None),
    "batch_size": _count(1, "auto"),
    "n_jobs": _count(1, None),
    "retries": _count(0),
    "timeout": _seconds,
    "expires": _seconds,
    "memory": _bytes,
    "max_nbytes": _bytes,
}


def parse_bytes(value: int | str, name: str = "size") -> int:
    """A number of bytes from ``1048576``, ``"1M"``, ``"1.5G"`` or ``"600kB"`` (units of 1024).

    Raises
    ------
    UsageError
        For anything else.
    """
    from jpipe.settings.declared import bytes_of  # `import jpipe` needs no settings

    try:
        return bytes_of(value)
    except ValueError:
        raise UsageError(f"{name}={value!r} is not a size", hint="write bytes, or '600K', '1M', '1.5G'") from None


def parse_duration(value: float | str, name: str = "duration") -> float:
    """Seconds from ``90``, ``"90s"``, ``"10min"``, ``"12h"``, ``"1d"`` or ``"2w"``.

    Raises
    ------
    UsageError
        For anything else, and for negative values.
    """
    total: Any = getattr(value, "total_seconds", None)
    if total is not None:
        value = float(total())
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return float(value)
    text = str(value).strip().lower()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        seconds = float(number) * _SECONDS[text[len(number) :].strip() or "s"]
    except (ValueError, KeyError):
        seconds = -1.0
    if seconds < 0:
        hint = "write seconds, or '90s', '10min', '12h', '1d', '2w'"
        raise UsageError(f"{name}={value!r} is not a duration", hint=hint)
    return seconds
