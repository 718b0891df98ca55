"""Objects that are nothing but themselves, such as ``MISSING = _Missing()``: whoever gets one asks whether it is that.

They have no state, and a module of the user's has them under a name. By that name they are kept and told apart.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from jpipe.system import main_module
from jpipe.system.ownership import owns_class

__all__ = ["name_of_instance", "named_instance"]


_PICKLES: tuple[Any, Any] = object.__reduce_ex__, object.__reduce__
"""How objects are pickled whose class says nothing of it."""


def name_of_instance(thing: Any) -> tuple[str, str] | None:
    """The module and the name in it of an object without state that the user's module has; None for all others."""
    kind: Any = type(thing)
    if getattr(thing, "__dict__", None) or kind.__reduce_ex__ is not _PICKLES[0]:
        return None
    if kind.__reduce__ is not _PICKLES[1] or not owns_class(kind):
        return None
    try:
        reduced: Any = object.__reduce_ex__(thing, 4)
    except TypeError:
        return None
    module = sys.modules.get(kind.__module__)
    if module is None or reduced[1] != (kind,) or any(reduced[2:]):
        return None
    for name, value in list(vars(module).items()):
        if value is thing:
            return main_module.known_as(kind.__module__), name
    return None


def named_instance(module: str, name: str, kind: type) -> Any:
    """The object that a module has under a name; where it has another kind of thing there, a new one of its class."""
    found = main_module.find(module, name)
    if found is None and module not in sys.modules and module != main_module.script_name():
        importlib.import_module(module)
        found = main_module.find(module, name)
    return found if type(found) is kind else object.__new__(kind)
