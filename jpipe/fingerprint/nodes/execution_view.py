"""A graph as an execution saw it: without the bodies of functions that did not run.

A node may stand in it twice. Seen from items, a function counts with its body if it ran in items: what it did before,
while modules were imported, shows in the values that it left. Seen from statements that stand for a value which cannot
be looked into, and from what may keep something unseen, it counts also if it ran then.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Edge, Effects, Graph, ImportClosure, Node, OwnEffects, WholeProject
from jpipe.fingerprint.parts import Code, Executed
from jpipe.fingerprint.source.skeleton import Said
from jpipe.system.ownership import (
    STANDARD_MODULES,
    Owner,
    is_jpipe_module,
    owner_of,
    owns_class,
    owns_file,
    top_level,
)

__all__ = ["ExecutionView", "reached"]

_MAY_GIVE = (Effects, OwnEffects, ImportClosure, WholeProject)
"""What may give objects to a library when it is imported."""
_SHAPE = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
"""The flags of a code object that its callers can tell: `*args`, `**kwargs`, and the kinds of generators."""


class ExecutionView:
    """Nodes by number; the complement of a number is the node as imports saw it.

    Parameters
    ----------
    graph
        All that is reachable, filled.
    roots
        Where to begin.
    executed
        What ran.

    Attributes
    ----------
    nodes
        Those that were followed.
    known
        All that the roots reach.
    codes
        Which code of the user's nodes stand for.
    items
        The code that ran in items, and in others before whose traces they may have found.
    """

    def __init__(self, graph: Graph, roots: Iterable[int], executed: Executed) -> None:
        self.graph = graph
        self.nodes: dict[int, Node] = {}
        self.known = reached(graph.nodes, roots)
        self.codes = {number: code for number in self.known if (code := _code_of(graph, number)) is not None}
        self._subjects = graph.subjects()
        # What another step left behind, this one may have found in place of running what made it.
        self.items = executed.items | executed.left
        if executed.held and any(isinstance(self._subjects.get(number), _MAY_GIVE) for number in self.known):
            self.items |= executed.held
        self._ran = self.items | executed.earlier
        self._bodies: dict[str, set[str]] = {}
        """By file: the functions that ran, each under the name of the outermost around it."""
        for file, name in self._ran:
            self._bodies.setdefault(file, set()).add(name.partition(".<locals>")[0])
        self._whole: dict[str, Said] = {}
        """By file: what it says with those bodies."""
        self._held = _held_by_others(graph, self.known)

    def follow(self, numbers: Iterable[int]) -> None:
        """Add nodes and all below them."""
        stack = list(numbers)
        while stack:
            number = stack.pop()
            if number not in self.nodes:
                node = self.nodes[number] = self._seen(number)
                stack += [target for _, target in node.edges if target not in self.nodes]
                stack += [target for _, target in node.annotated if target not in self.nodes]

    def _seen(self, number: int) -> Node:
        own = number if number >= 0 else ~number
        node, code = self.graph.nodes[own], self.codes.get(own)
        is_idle = code is not None and code not in (self.items if number >= 0 else self._ran)
        if is_idle and node.kept is not None and own not in self._held:
            node = _shell(self.graph, own)
        elif node.statements:
            node = self._stated(node)
        elif isinstance(self._subjects.get(own), (ImportClosure, WholeProject)):
            node = self._files(node)
        if number < 0:
            return self._as_imported(node, 0, len(node.edges), self._moved(node.annotated))
        if node.hides or _is_of_others(self.graph.objects.get(own)):
            return self._as_imported(node, 0, len(node.edges), node.annotated)
        first, last = node.imported
        return node if first == last else self._as_imported(node, first, last, node.annotated)

    def _stated(self, node: Node) -> Node:
        """Statements without the bodies that did not run, and without what these alone lead to."""
        seen = Node()
        done, traits, edges = 0, 0, []
        for path, number, roots, starts in node.statements:
            edges += node.edges[done : starts[0]]
            done = starts[-1]
            skeleton = self.graph.files.parsed(path).skeleton(number)
            said = skeleton.with_bodies(self._bodies.get(self.graph.files.relative(path), set()))
            traits |= said.traits
            edges.append(
                (f"{node.edges[starts[0]][0].partition(':')[0]}:{said.digest.hex()}", node.edges[starts[0]][1])
            )
            for k, root in enumerate(roots):
                if root in said.roots:
                    edges += node.edges[starts[k + 1] : starts[k + 2]]
        seen.put(node.label, [*edges, *node.edges[done:]], node.said)
        seen.origin, seen.traits, seen.imported = node.origin, node.traits & traits, (0, 0)
        if node.imported != (0, 0):
            seen.imported = (0, len(seen.edges))
        return seen

    def _files(self, node: Node) -> Node:
        """Whole files without the bodies that did not run."""
        seen = Node()
        pieces: list[str | bytes] = []
        for label, target in node.edges:
            origin = self.graph.nodes[target].origin
            if origin is None or origin.file is None:
                seen.edges.append((label, target))
                continue
            said = self._whole.get(label)
            if said is None:
                skeleton = self.graph.files.parsed(origin.file).skeleton()
                said = self._whole[label] = skeleton.with_bodies(self._bodies.get(label, set()))
            seen.traits |= said.traits
            pieces += [label, said.digest]
        seen.put(combine("files", node.label, *pieces), seen.edges)
        seen.origin = node.origin
        return seen

    def _as_imported(self, node: Node, first: int, last: int, annotated: list[Edge]) -> Node:
        """A node some of whose edges lead to what imports saw."""
        if not (node.edges or annotated):
            return node
        seen = Node()
        seen.put(node.label, [*node.edges[:first], *self._moved(node.edges[first:last]), *node.edges[last:]], node.said)
        seen.annotated, seen.origin, seen.traits, seen.unordered = annotated, node.origin, node.traits, node.unordered
        return seen

    def _moved(self, edges: list[Edge]) -> list[Edge]:
        nodes, codes = self.graph.nodes, self.codes
        return [(label, ~target if nodes[target].edges or target in codes else target) for label, target in edges]


def reached(nodes: Any, tops: Iterable[int]) -> set[int]:
    """The numbers of nodes below some, these included."""
    stack = list(tops)
    seen = set(stack)
    while stack:
        for _, target in nodes[stack.pop()].edges:
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen


def _code_of(graph: Graph, number: int) -> Code | None:
    """Which code of the user's a node stands for; asked of the function once for all views."""
    if number not in graph.codes:
        graph.codes[number] = _find_code(graph, number)
    return graph.codes[number]


def _find_code(graph: Graph, number: int) -> Code | None:
    function = graph.objects.get(number)
    code = graph.files.written(function) if type(function) is types.FunctionType else None
    if code is None or not owns_file(code.co_filename):
        return None
    return graph.files.relative(code.co_filename), code.co_qualname


def _held_by_others(graph: Graph, known: Iterable[int]) -> set[int]:
    """Functions inside objects of installed packages, which may look at their code: compile it, hash it, send it."""
    stack = [number for number in known if _is_of_others(graph.objects.get(number))]
    seen = set(stack)
    while stack:
        for _, target in graph.nodes[stack.pop()].edges:
            if target not in seen:
                seen.add(target)
                if graph.nodes[target].data:
                    stack.append(target)
    return seen


def _is_of_others(obj: Any) -> bool:
    """Whether an object is an instance of an installed class or an installed function."""
    kind = type(obj)
    if kind is types.FunctionType:
        return owner_of(obj.__code__.co_filename) is Owner.PACKAGE
    if obj is None or issubclass(kind, (type, types.ModuleType)) or owns_class(kind):
        return False
    return top_level(kind.__module__) not in STANDARD_MODULES and not is_jpipe_module(kind.__module__)


def _shell(graph: Graph, number: int) -> Node:
    """A function without its body: its name, signature, kind, defaults and attributes."""
    node, function = graph.nodes[number], graph.objects[number]
    code = graph.files.written(function)
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _SHAPE)
    label = combine("unexecuted", repr(shape), *code.co_varnames[:count])
    shell = Node()
    shell.put(label, node.edges[: node.kept], node.said)
    shell.origin, shell.annotated = node.origin, node.annotated
    # What importing its file changes stays: the file was imported, whatever ran of it.
    shell.edges += [edge for edge in node.edges[node.kept :] if edge[0] == "effects"]
    return shell
