"""The pruned digest: what a fingerprint says when the bodies of functions that did not run are left out.

Code that did not run cannot have mattered. Which code runs is decided by what stays in the graph: the bodies that did
run, and every binding, class member, base, default, decorated value and module value that they lead to. So where the
pruned digest of an earlier execution is the same under the code as it is now, that execution would be repeated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.execution_view import ExecutionView
from jpipe.fingerprint.nodes.fill import complete
from jpipe.fingerprint.nodes.graph import (
    Definition,
    Effects,
    Graph,
    ImportClosure,
    Node,
    OwnEffects,
    StaticModule,
    StaticName,
    WholeProject,
)
from jpipe.fingerprint.nodes.merkle import Merkle
from jpipe.fingerprint.parts import Code, Executed, Pruned
from jpipe.fingerprint.source.template import Trait
from jpipe.system.ownership import is_kind

__all__ = ["MODULE", "pruned_digest"]

MODULE = "<module>"
"""What the code of a file as a whole is called."""


def pruned_digest(graph: Graph, root: int, executed: Executed, source_text: Callable[[Node], str]) -> Pruned | None:
    """The digest of everything below `root` without the bodies that did not run.

    What ran in an item although no code that ran leads to it counts by the statements that define it, with what of
    all they reach did run.

    Returns
    -------
    Pruned or None
        None where nothing can be left out: code that ran reads source text or code objects.
    """
    view = ExecutionView(graph, [root], executed)
    tops = [number for number, code in view.codes.items() if code in view.items]
    tops += _classes_of(graph, view.known, view.items)
    view.follow([root, *tops])
    outside = _outside(view, executed.items)
    defining = list(map(graph.subject, outside))
    complete(graph)
    if outside:
        view = ExecutionView(graph, [root, *defining], executed)
        view.follow([root, *tops, *(~number for number in defining)])
    together, all_tops, number = Node(), Node(), len(graph.nodes)
    # Two functions may have one name: what counts is which digests there are.
    all_tops.put(combine("ran"), [("", top) for top in tops])
    all_tops.unordered = True
    together.put(
        combine("pruned"), [("root", root), ("ran", number + 1), *(("outside", ~number) for number in defining)]
    )
    view.nodes |= {number: together, number + 1: all_tops}
    merkle = Merkle(_Nodes(view.nodes), source_text)  # type: ignore[arg-type]
    variant = merkle.variant_alone(number)
    if variant & Trait.READS_SOURCE:
        return None
    tops = [target for label, target in graph.nodes[root].edges if label.startswith("depends")]
    static = Merkle(graph, source_text) if tops else merkle
    declared = [static.digest(target) for target in tops]
    return Pruned(combine(merkle.digest(number, variant), *declared), bool(outside))


class _Nodes(NamedTuple):
    """What digests are made of."""

    nodes: dict[int, Node]


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


def _outside(view: ExecutionView, items: Iterable[Code]) -> list[Definition | StaticModule]:
    """What defines the code that ran in items and that no code that ran leads to."""
    graph = view.graph
    subjects = graph.subjects()
    inside: set[Code] = set()
    for number in {number if number >= 0 else ~number for number in view.nodes}:
        what = subjects.get(number)
        if isinstance(what, WholeProject):
            return []
        if isinstance(what, (Definition, StaticName)):
            inside.add((graph.files.relative(what.path), what.name))
        if isinstance(what, (Effects, OwnEffects, StaticModule, StaticName)):
            inside.add((graph.files.relative(what.path), MODULE))
        if isinstance(what, StaticModule):
            inside.add((graph.files.relative(what.path), ""))
        if isinstance(what, ImportClosure):
            inside |= {(graph.files.relative(path), "") for path in graph.closures.of(what.path).files}
        code = view.codes.get(number) or _class_at(graph, number)
        if code is not None:
            inside.add(code)
    found: dict[Definition | StaticModule, None] = {}
    for file, name in sorted(items):
        if inside.isdisjoint((file, outer) for outer in [*_around(name), ""]):
            path, top = os.path.join(graph.files.root, file), name.partition(".")[0]
            found[Definition(path, top) if top in graph.files.parsed(path).bound else StaticModule(path)] = None
    return list(found)
