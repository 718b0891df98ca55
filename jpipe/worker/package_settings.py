"""Settings that packages keep for a whole process, or for a thread, and that results depend on."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["apply_settings", "settings_here"]


class _Setting(NamedTuple):
    """How settings of a loaded module are read, and set again."""

    module: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], Any]


def _pandas_options(pandas: Any) -> dict[str, Any]:
    config = pandas._config.config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = {name: pandas.get_option(name) for name in config._registered_options if name not in config._deprecated}
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


def apply_settings(wanted: dict[str, Any]) -> None:
    """Give the packages that are loaded in this process these settings."""
    for name, value in wanted.items():
        setting = _SETTINGS[name]
        module = sys.modules.get(setting.module)
        if module is None:
            continue
        with contextlib.suppress(Exception):
            if setting.read(module) != value:
                setting.write(module, value)
