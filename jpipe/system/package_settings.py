"""Settings that packages keep for a whole process, or for a thread, and that results depend on."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["apply_settings", "changed_settings", "settings_here"]

OF_THREADS = ("decimal", "numpy errors")
"""What each thread has of its own."""


class _Setting(NamedTuple):
    """How settings of a loaded module are read, and set again in another process."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], Any]


def _pandas_options(pandas: Any, wanted: Iterable[str] = ()) -> dict[str, Any]:
    config = pandas._config.config
    names = wanted or config._registered_options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {name: pandas.get_option(name) for name in names}
    return {name: value for name, value in known.items() if isinstance(value, (int, float, str, bool, type(None)))}


def _set_pandas_options(pandas: Any, wanted: dict[str, Any]) -> None:
    now = _pandas_options(pandas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in wanted.items():
            if name in now and now[name] != value:
                pandas.set_option(name, value)


def _read_matplotlib(matplotlib: Any) -> dict[str, Any]:
    return {name: value for name, value in dict.items(matplotlib.rcParams) if name != "backend"}


def _read_dialects(csv: Any) -> dict[str, dict[str, Any]]:
    return {name: _of_dialect(csv.get_dialect(name)) for name in csv.list_dialects() if name not in _USUAL_DIALECTS}


def _of_dialect(dialect: Any) -> dict[str, Any]:
    return {name: getattr(dialect, name) for name in dir(dialect) if not name.startswith("_")}


def _set_dialects(csv: Any, wanted: dict[str, dict[str, Any]]) -> None:
    for name, options in wanted.items():
        csv.register_dialect(name, **options)


def _read_levels(logging: Any) -> dict[str | None, int]:
    loggers = [(None, logging.root), *logging.root.manager.loggerDict.items()]
    return {name: logger.level for name, logger in loggers if getattr(logger, "level", 0)}


def _set_levels(logging: Any, wanted: dict[str | None, int]) -> None:
    for name, level in wanted.items():
        logging.getLogger(name).setLevel(level)


_USUAL_DIALECTS = ("excel", "excel-tab", "unix")
_SETTINGS = {
    "csv": _Setting("csv", _read_dialects, _set_dialects),
    "decimal": _Setting("decimal", lambda m: m.getcontext().copy(), lambda m, v: m.setcontext(v.copy())),
    "locale": _Setting("locale", lambda m: m.setlocale(m.LC_ALL), lambda m, v: m.setlocale(m.LC_ALL, v)),
    "logging": _Setting("logging", _read_levels, _set_levels),
    "numpy errors": _Setting("numpy", lambda m: m.geterr(), lambda m, v: m.seterr(**v)),
    "numpy printing": _Setting("numpy", lambda m: m.get_printoptions(), lambda m, v: m.set_printoptions(**v)),
    "pandas": _Setting("pandas", _pandas_options, _set_pandas_options),
    "socket": _Setting("socket", lambda m: m.getdefaulttimeout(), lambda m, v: m.setdefaulttimeout(v)),
    "sklearn": _Setting("sklearn", lambda m: m.get_config(), lambda m, v: m.set_config(**v)),
    "xarray": _Setting("xarray", lambda m: dict(m.get_options()), lambda m, v: m.set_options(**v)),
    "matplotlib": _Setting("matplotlib", _read_matplotlib, lambda m, v: m.rcParams.update(v)),
    "tempfile": _Setting("tempfile", lambda m: m.tempdir, lambda m, v: setattr(m, "tempdir", v)),
    "torch": _Setting("torch", lambda m: m.get_default_dtype(), lambda m, v: m.set_default_dtype(v)),
}


def settings_here() -> dict[str, Any]:
    """The settings of the packages that are loaded in this process."""
    found = {}
    for name, setting in _SETTINGS.items():
        module = sys.modules.get(setting.module)
        if module is not None:
            with contextlib.suppress(Exception):  # a package that is half imported, or of another version
                found[name] = setting.read(module)
    return found


def apply_settings(wanted: dict[str, Any], *, of_thread: bool = False) -> None:
    """Give the packages that are loaded in this process these settings; `of_thread` for what threads have alone."""
    for name, value in wanted.items():
        if of_thread and name not in OF_THREADS:
            continue
        setting = _SETTINGS[name]
        module = sys.modules.get(setting.module)
        if module is None:
            continue
        with contextlib.suppress(Exception):
            if setting.read(module) != value:
                setting.write(module, value)


def changed_settings() -> dict[str, tuple[str, str]]:
    """What is set otherwise than a package has it by itself: by name the module that it belongs to, and a text of it.

    Of all settings these are what numbers depend on; how things are printed is left to what prints them. What belongs
    to no module, an empty name, counts everywhere.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, (module_name, owner, read) in _COUNTED.items():
        module = sys.modules.get(module_name)
        with contextlib.suppress(Exception):  # a package that is half imported, or of another version
            told = None if module is None else read(module)
            if told is not None:
                found[name] = owner, told
    return found


def _told_of_context(decimal: Any) -> str | None:
    told = _of_context(decimal.getcontext())
    return None if told == _USUAL_CONTEXT else told


def _told_of_errors(numpy: Any) -> str | None:
    now = numpy.geterr()
    return None if now == _USUAL_ERRORS else repr(sorted(now.items()))


def _told_of_pandas(pandas: Any) -> str | None:
    registered = pandas._config.config._registered_options
    usual = {name: option.defval for name, option in registered.items() if not name.startswith(_SHOWS)}
    now = _pandas_options(pandas, usual) if usual else {}
    pairs = [(name, value) for name, value in sorted(now.items()) if usual[name] != value]
    return repr(pairs) if pairs else None


def _told_of_locale(locale: Any) -> str | None:
    """Of all but the characters, which Python itself takes from the environment when it starts."""
    kinds = {name: locale.setlocale(getattr(locale, name)) for name in ("LC_COLLATE", "LC_NUMERIC", "LC_TIME")}
    return repr(kinds) if set(kinds.values()) - {"C", "POSIX"} else None


def _told_of_dialects(csv: Any) -> str | None:
    found = sorted((name, sorted(options.items())) for name, options in _read_dialects(csv).items())
    return repr(found) if found else None


def _told_of_timeout(socket: Any) -> str | None:
    timeout = socket.getdefaulttimeout()
    return None if timeout is None else repr(timeout)


_COUNTED: dict[str, tuple[str, str, Callable[[Any], str | None]]] = {
    "the context of decimal": ("decimal", "decimal", _told_of_context),
    "numpy.geterr()": ("numpy", "numpy", _told_of_errors),
    "the options of pandas": ("pandas", "pandas", _told_of_pandas),
    "the locale": ("locale", "", _told_of_locale),
    "the dialects of csv": ("csv", "csv", _told_of_dialects),
    "socket.getdefaulttimeout()": ("socket", "socket", _told_of_timeout),
}
"""By what it is called: the module that tells it, the one whose users it counts for, and how to ask."""
_SHOWS = ("display.", "plotting.", "styler.")
_USUAL_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


_USUAL_CONTEXT = repr(
    (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, ["DivisionByZero", "InvalidOperation", "Overflow"])
)


def _of_context(context: Any) -> str:
    """What of a context changes results: not its flags, which tell of past calculations."""
    traps = sorted(kind.__name__ for kind, on in context.traps.items() if on)
    words = (context.prec, context.rounding, context.Emin, context.Emax, context.capitals, context.clamp, traps)
    return repr(words)
