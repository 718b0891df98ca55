"""Generators of random numbers: the global ones by name, others by their state."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Refused
from jpipe.digest.instances import reduce_instance
from jpipe.digest.references import refer

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.digest.canonical import Node
    from jpipe.digest.engine import Encoder

__all__ = ["generator_rule"]

_GLOBAL = (("random", "_inst"), ("numpy.random.mtrand", "_rand"))
_KINDS = (
    ("random", "Random"),
    ("numpy.random", "Generator"),
    ("numpy.random", "RandomState"),
    ("numpy.random", "BitGenerator"),
    ("numpy.random", "SeedSequence"),
)


def generator_rule(kind: type, _base: type) -> Callable[[Any, Encoder], bytes | Node] | None:
    """The rule for the class of a generator, or None for any other."""
    found = [getattr(sys.modules.get(module), name, None) for module, name in _KINDS]
    return _reduce_generator if any(isinstance(base, type) and issubclass(kind, base) for base in found) else None


def _reduce_generator(value: Any, encoder: Encoder) -> bytes | Node:
    for module, name in _GLOBAL:  # jpipe seeds these before each item
        if value is getattr(sys.modules.get(module), name, None):
            return refer(module, name)
    if encoder.as_is:
        raise Refused(value, "has a state that changes with every number drawn")
    return reduce_instance(value, encoder)
