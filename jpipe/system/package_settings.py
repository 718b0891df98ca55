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
    """How settings of a loaded module are read, and set again."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], Any]


def _pandas_options(pandas: Any, wanted: Iterable[str] = ()) -> dict[str, Any]:
    config = pandas._config.config
    names = wanted or config._registered_options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {name: pandas.get_option(name) for name in names if name not in config._deprecated}
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


_SETTINGS = {
    "decimal": _Setting("decimal", lambda m: m.getcontext().copy(), lambda m, v: m.setcontext(v.copy())),
    "locale": _Setting("locale", lambda m: m.setlocale(m.LC_ALL), lambda m, v: m.setlocale(m.LC_ALL, v)),
    "numpy errors": _Setting("numpy", lambda m: m.geterr(), lambda m, v: m.seterr(**v)),
    "numpy printing": _Setting("numpy", lambda m: m.get_printoptions(), lambda m, v: m.set_printoptions(**v)),
    "pandas": _Setting("pandas", _pandas_options, _set_pandas_options),
    "sklearn": _Setting("sklearn", lambda m: m.get_config(), lambda m, v: m.set_config(**v)),
    "xarray": _Setting("xarray", lambda m: dict(m.get_options()), lambda m, v: m.set_options(**v)),
    "matplotlib": _Setting("matplotlib", _read_matplotlib, lambda m, v: m.rcParams.update(v)),
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

    Of all settings these are what numbers depend on; how things are printed is left to what prints them.
    """
    found: dict[str, tuple[str, str]] = {}
    decimal, numpy, pandas = (sys.modules.get(name) for name in ("decimal", "numpy", "pandas"))
    with contextlib.suppress(Exception):  # a package that is half imported, or of another version
        if decimal is not None and (told := _of_context(decimal.getcontext())) != _USUAL_CONTEXT:
            found["the context of decimal"] = "decimal", told
    with contextlib.suppress(Exception):
        if numpy is not None and numpy.geterr() != _USUAL_ERRORS:
            found["numpy.geterr()"] = "numpy", repr(sorted(numpy.geterr().items()))
    with contextlib.suppress(Exception):
        registered = {} if pandas is None else pandas._config.config._registered_options
        usual = {name: option.defval for name, option in registered.items() if not name.startswith(_SHOWS)}
        now = _pandas_options(pandas, usual) if usual else {}
        pairs = [(name, value) for name, value in sorted(now.items()) if usual[name] != value]
        if pairs:
            found["the options of pandas"] = "pandas", repr(pairs)
    return found


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
