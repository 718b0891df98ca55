"""The pruned digest: what a fingerprint says when the bodies of functions that did not run are left out.

Code that did not run cannot have mattered. Which code runs is decided by what stays in the graph: the bodies that did
run, and every binding, class member, base, default, decorated value and module value that they lead to. So where the
pruned digest of an earlier execution is the same under the code as it is now, that execution would be repeated.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.fill import complete
from jpipe.fingerprint.nodes.graph import (
    Definition,
    Effects,
    Graph,
    Node,
    OwnEffects,
    StaticModule,
    StaticName,
    WholeProject,
)
from jpipe.fingerprint.nodes.merkle import Merkle
from jpipe.fingerprint.parts import Code, Executed, Pruned
from jpipe.fingerprint.source.template import Trait
from jpipe.system.ownership import (
    STANDARD_MODULES,
    Owner,
    is_jpipe_module,
    is_kind,
    owner_of,
    owns_class,
    owns_file,
    top_level,
)

__all__ = ["MODULE", "pruned_digest"]

MODULE = "<module>"
"""What the code of a file as a whole is called."""
_SHAPE = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
"""The flags of a code object that its callers can tell: `*args`, `**kwargs`, and the kinds of generators."""


def pruned_digest(graph: Graph, root: int, executed: Executed, source_text: Callable[[Node], str]) -> Pruned | None:
    """The digest of everything below `root` without the bodies that did not run.

    What ran in an item although no code that ran leads to it counts by the statements that define it, with all they
    reach.

    Returns
    -------
    Pruned or None
        None where nothing can be left out: code that ran reads source text or code objects.
    """
    known = _reached(graph.nodes, [root])
    codes = {number: code for number in known if (code := _code_of(graph, number)) is not None}
    ran = executed.items | executed.earlier
    nodes = list(graph.nodes)
    held = _held_by_others(graph, known)
    for number, code in codes.items():
        if code not in ran and number not in held and graph.nodes[number].kept is not None:
            nodes[number] = _shell(graph, number)
    tops = [number for number, code in codes.items() if code in executed.items]
    tops += _classes_of(graph, known, executed.items)
    outside = _outside(graph, _reached(nodes, [root, *tops]), executed.items)
    declared = [target for label, target in nodes[root].edges if label.startswith("depends")]
    counted = [*declared, *map(graph.subject, outside)]
    complete(graph)
    together, all_tops = Node(), Node()
    # Two functions may have one name: what counts is which digests there are.
    all_tops.put(combine("ran"), [("", top) for top in tops])
    all_tops.unordered = True
    together.put(combine("pruned"), [("root", root), ("ran", len(nodes))])
    merkle = Merkle(_Shadow([*nodes, all_tops, together]), source_text)  # type: ignore[arg-type]
    if merkle.variant(len(nodes) + 1) & Trait.READS_SOURCE:
        return None
    static = Merkle(graph, source_text)
    return Pruned(combine(merkle.digest(len(nodes) + 1), *map(static.digest, counted)), bool(outside))


class _Shadow(NamedTuple):
    """A graph with other nodes under the same numbers."""

    nodes: list[Node]


def _reached(nodes: Sequence[Node], tops: Iterable[int]) -> set[int]:
    stack = list(tops)
    seen = set(stack)
    while stack:
        for _, target in nodes[stack.pop()].edges:
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return seen


def _code_of(graph: Graph, number: int) -> Code | None:
    """Which code of the user's a node stands for."""
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


def _classes_of(graph: Graph, known: Iterable[int], items: Iterable[Code]) -> list[int]:
    """The classes whose methods ran: what else they have decides what runs."""
    wanted = {(file, outer) for file, name in items for outer in _around(name)}
    return [number for number in known if (code := _class_at(graph, number)) is not None and code in wanted]


def _class_at(graph: Graph, number: int) -> Code | None:
    cls, origin = graph.objects.get(number), graph.nodes[number].origin
    if not is_kind(cls, type) or origin is None or origin.file is None:
        return None
    return graph.files.relative(origin.file), str(getattr(cls, "__qualname__", ""))


def _around(name: str) -> list[str]:
    """A qualified name and those of the classes and functions around it, the innermost first."""
    found = []
    while name:
        found.append(name)
        name = name.rpartition(".")[0].removesuffix(".<locals>")
    return found


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


def _outside(graph: Graph, reached: Iterable[int], items: Iterable[Code]) -> list[Definition | StaticModule]:
    """What defines the code that ran in items and that no code that ran leads to."""
    subjects = graph.subjects()
    inside: set[Code] = set()
    for number in reached:
        what = subjects.get(number)
        if isinstance(what, WholeProject):
            return []
        if isinstance(what, (Definition, StaticName)):
            inside.add((graph.files.relative(what.path), what.name))
        if isinstance(what, (Effects, OwnEffects, StaticModule, StaticName)):
            inside.add((graph.files.relative(what.path), MODULE))
        if isinstance(what, StaticModule):
            inside.add((graph.files.relative(what.path), ""))
        code = _code_of(graph, number) or _class_at(graph, number)
        if code is not None:
            inside.add(code)
    found: dict[Definition | StaticModule, None] = {}
    for file, name in sorted(items):
        if inside.isdisjoint((file, outer) for outer in [*_around(name), ""]):
            path, top = os.path.join(graph.files.root, file), name.partition(".")[0]
            found[Definition(path, top) if top in graph.files.parsed(path).bound else StaticModule(path)] = None
    return list(found)
