"""matplotlib: figures by what they are made of, without what they note in passing of the process they are in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Node, Tag, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.digest.engine import Encoder

__all__ = ["matplotlib_rule"]

_CLASSES = (
    ("matplotlib.cbook", "CallbackRegistry"),
    ("matplotlib.transforms", "TransformNode"),
    ("matplotlib.figure", "Figure"),
)
_PASSING = frozenset({"_cid_gen", "_parents", "_number", "number"})
"""The number that the next callback gets, which goes on whenever a figure is pickled; the addresses of those who are to
be told when a transform changes, which are found from the other end as well; which figure of pyplot's it is."""


def matplotlib_rule(kind: type, _base: type) -> Callable[[Any, Encoder], bytes | Node] | None:
    """The rule for one of matplotlib's classes, or None if it has no rule of its own."""
    for module, name in _CLASSES:
        base = getattr(sys.modules.get(module), name, None)
        if base is not None and issubclass(kind, base):
            return _reduce
    return None


def _reduce(thing: Any, _encoder: Encoder) -> Node:
    """What pickle would write of it, but for what is passing."""
    state = {name: value for name, value in thing.__getstate__().items() if name not in _PASSING}
    return Node(Tag.KIND + field("matplotlib"), [type(thing), state], name=lambda _i: "")
