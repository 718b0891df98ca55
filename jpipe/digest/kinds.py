"""Which rule takes a value apart: by its exact type, else by the nearest base that has one."""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from jpipe.digest import plain, references, standard
from jpipe.digest.arrays import numpy_rule
from jpipe.digest.arrow import arrow_rule
from jpipe.digest.figures import matplotlib_rule
from jpipe.digest.frames import pandas_rule
from jpipe.digest.generators import generator_rule
from jpipe.digest.instances import reduce_enum, reduce_instance
from jpipe.digest.polars import polars_rule
from jpipe.digest.references import wrapper_rule
from jpipe.digest.tensors import scipy_rule, torch_rule

if TYPE_CHECKING:
    from jpipe.digest.canonical import Node
    from jpipe.digest.engine import Encoder

__all__ = ["reduce"]

Rule = Callable[[Any, "Encoder"], "bytes | Node"]

_EXACT: dict[type, Rule] = {
    list: lambda value, encoder: plain.reduce_list(value, encoder.atoms),
    tuple: lambda value, encoder: plain.reduce_tuple(value, encoder.atoms),
    dict: lambda value, encoder: plain.reduce_dict(value, encoder.atoms),
    set: lambda value, _encoder: plain.reduce_set(value),
    frozenset: lambda value, _encoder: plain.reduce_frozenset(value),
    type: references.reduce_class,
    types.FunctionType: references.reduce_function,
    types.MethodType: references.reduce_method,
    types.BuiltinFunctionType: references.reduce_builtin,
    types.MethodWrapperType: references.reduce_bound,
    types.WrapperDescriptorType: references.reduce_descriptor,
    types.MethodDescriptorType: references.reduce_descriptor,
    types.ClassMethodDescriptorType: references.reduce_descriptor,
    types.GetSetDescriptorType: references.reduce_descriptor,
    types.MemberDescriptorType: references.reduce_descriptor,
    types.ModuleType: references.reduce_module,
    types.CodeType: references.reduce_code,
    staticmethod: references.reduce_wrapped,
    classmethod: references.reduce_wrapped,
    property: references.reduce_wrapped,
    functools.cached_property: references.reduce_cached_property,
    functools._lru_cache_wrapper: references.reduce_cached,
    **standard.RULES,
}

# By the first part of the module's name of a class: what gives the rule for classes from there, or None.
_PACKAGES: dict[str, Callable[[type, type], Rule | None]] = {
    **dict.fromkeys(("decimal", "fractions", "uuid", "zoneinfo"), standard.standard_rule),
    "numpy": lambda kind, base: generator_rule(kind, base) or numpy_rule(kind, base),
    "random": generator_rule,
    "pandas": pandas_rule,
    "polars": polars_rule,
    "pyarrow": arrow_rule,
    "scipy": scipy_rule,
    "torch": torch_rule,
    "joblib": wrapper_rule,
    "numba": wrapper_rule,
    "matplotlib": matplotlib_rule,
}

_found: WeakKeyDictionary[type, Rule] = WeakKeyDictionary()


def reduce(value: Any, encoder: Encoder) -> bytes | Node:
    """The encoding of a value if nothing is inside it, else a node of what is inside.

    Raises
    ------
    Refused
        If its content cannot be known.
    """
    kind = type(value)
    rule = _EXACT.get(kind) or _found.get(kind)
    if rule is None:
        rule = _found[kind] = _search(kind)
    return rule(value, encoder)


def _search(kind: type) -> Rule:
    if issubclass(kind, type):
        return references.reduce_class
    if issubclass(kind, enum.Enum):
        return reduce_enum
    if issubclass(kind, types.ModuleType):
        return references.reduce_module
    if kind.__module__.partition(".")[0] == "jpipe" and kind.__name__ in ("Step", "Pipeline"):
        return references.reduce_step
    for base in kind.__mro__:
        package = _PACKAGES.get(base.__module__.partition(".")[0])
        rule = package(kind, base) if package else None
        if rule is not None:
            return rule
    return reduce_instance
