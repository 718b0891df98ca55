"""Which function it is, where a `version=` stands in for what it says."""

from __future__ import annotations

import functools
import types
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Edge, Graph, Node
from jpipe.fingerprint.nodes.references import cells_of
from jpipe.fingerprint.source.bytecode import code_digest
from jpipe.system import main_module
from jpipe.system.ownership import is_kind, is_step


def identity_node(graph: Graph, function: Any) -> int:
    """The node of a function by its name and place, without its code.

    One definition may make several functions, which are told apart by what they were made with: the arguments of a
    partial, the object of a method, and the closure and defaults of a function that is made inside another one.
    """
    return _Identities(graph).of(function)


class _Identities:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._seen: set[int] = set()

    def of(self, thing: Any) -> int:
        while is_step(thing):
            thing = thing.function
        if id(thing) in self._seen:  # a function may hold itself
            return self._graph.leaf("itself")
        self._seen.add(id(thing))
        label, edges = self._said(thing)
        self._graph.nodes.append(Node())
        self._graph.nodes[-1].put(combine("identity", *label), edges)
        return len(self._graph.nodes) - 1

    def _said(self, thing: Any) -> tuple[list[str | bytes], list[Edge]]:
        """What names a thing, and what it was made with."""
        if is_kind(thing, functools.partial):
            edges = [("partial", self.of(thing.func))]
            edges += [(f"a{k}", self._value(value)) for k, value in enumerate(thing.args)]
            return ["partial"], edges + [(f"k{name}", self._value(v)) for name, v in sorted(thing.keywords.items())]
        if is_kind(thing, types.MethodType):
            return ["method"], [("function", self.of(thing.__func__)), ("self", self._value(thing.__self__))]
        name = getattr(thing, "__qualname__", None)
        if not isinstance(name, str):
            return ["called", *_named(type(thing))], [("value", self._graph.value(thing))]
        if not is_kind(thing, types.FunctionType):
            return _named(thing), []
        made_inside = "<" in name
        made = [(name, value) for name, value in sorted(cells_of(thing).items())] if made_inside else []
        if made_inside:
            made += [(f"d{k}", value) for k, value in enumerate(thing.__defaults__ or ())]
            made += [(f"kd{name}", value) for name, value in sorted((thing.__kwdefaults__ or {}).items())]
        own = [code_digest(thing.__code__)] if name.endswith("<lambda>") else []
        return [*_named(thing), *own], [(label, self._value(value)) for label, value in made]

    def _value(self, value: Any) -> int:
        is_code = is_step(value) or is_kind(value, (types.FunctionType, types.MethodType, type))
        return self.of(value) if is_code else self._graph.value(value)


def _named(thing: Any) -> list[str | bytes]:
    return [main_module.known_as(str(getattr(thing, "__module__", None) or "")), str(thing.__qualname__)]
