"""The digest of a node from the graph below it: Merkle over components, colour refinement in cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Edge, Graph, Node
from jpipe.fingerprint.source.template import Trait

Label = Callable[[Node], bytes]

_EMPTY = combine("empty")


class Merkle:
    """Digests of one graph. Three variants: what always counts; with docstrings and annotations; with source text."""

    def __init__(self, graph: Graph, source_text: Callable[[Node], str]) -> None:
        self._graph = graph
        self._source_text = source_text
        self._traits: dict[int, int] = {}
        self._digests: tuple[dict[int, bytes], ...] = ({}, {}, {})

    def digest(self, root: int) -> bytes:
        """32 bytes that stand for everything reachable from `root`."""
        variant = self.variant(root)
        if variant:
            self._finish(root, variant)
        return self._digests[variant][root]

    def variant(self, root: int) -> int:
        """How much counts below `root`: 0 code alone, 1 docstrings and annotations too, 2 the source text too."""
        traits = self._finish(root, 0)
        return 2 if traits & Trait.READS_SOURCE else 1 if traits & Trait.REFLECTS else 0

    def label(self, node: Node, variant: int) -> bytes:
        """What a node says itself, as far as it counts."""
        if variant == 0:
            return node.label
        if variant == 1 or node.origin is None or not node.origin.spans:
            return node.full
        return combine(node.full, self._source_text(node))

    def _finish(self, root: int, variant: int) -> int:
        """Tarjan's algorithm without recursion; each component is digested as it is completed, those below it first."""
        done = self._digests[variant]
        if root in done:
            return self._traits[root]
        nodes = self._graph.nodes
        index, low = {root: 0}, {root: 0}
        open_nodes, on_stack = [root], {root}
        work: list[tuple[int, Iterator[Edge]]] = [(root, iter(nodes[root].edges))]
        while work:
            node, edges = work[-1]
            for _, target in edges:
                if target in done:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    open_nodes.append(target)
                    on_stack.add(target)
                    work.append((target, iter(nodes[target].edges)))
                    break
                if target in on_stack and index[target] < low[node]:
                    low[node] = index[target]
            else:
                work.pop()
                if work and low[node] < low[work[-1][0]]:
                    low[work[-1][0]] = low[node]
                if low[node] == index[node]:
                    self._component(_popped(open_nodes, on_stack, node), variant)
        return self._traits[root]

    def _component(self, component: list[int], variant: int) -> None:
        if len(component) == 1 and all(target != component[0] for _, target in self._graph.nodes[component[0]].edges):
            self._single(component[0], variant)
        else:
            self._cycle(component, variant)

    def _single(self, number: int, variant: int) -> None:
        node, done = self._graph.nodes[number], self._digests[variant]
        traits, pieces = node.traits, []
        for label, target in node.edges:
            traits |= self._traits[target]
            pieces.append(_edge(label) + done[target])
        if node.unordered:
            pieces.sort()
        own = self.label(node, variant)
        done[number] = combine(own, *pieces) if pieces else own or _EMPTY
        self._traits[number] = traits

    def _cycle(self, component: list[int], variant: int) -> None:
        """Nodes that reach each other: refine colours until no more are told apart, whoever was entered first."""
        nodes, done = self._graph.nodes, self._digests[variant]
        inside = set(component)
        traits: int = Trait.NONE
        outward: dict[int, tuple[bytes, list[tuple[bytes, int | None]], bool]] = {}
        for number in component:
            node = nodes[number]
            traits |= node.traits
            pieces: list[tuple[bytes, int | None]] = []
            for label, target in node.edges:
                if target in inside:
                    pieces.append((_edge(label), target))
                else:
                    traits |= self._traits[target]
                    pieces.append((_edge(label) + done[target], None))
            outward[number] = (self.label(node, variant), pieces, node.unordered)
        colours = _refined({number: combine("cycle", outward[number][0]) for number in component}, outward)
        everyone = b"".join(sorted(set(colours.values())))
        for number in component:
            done[number] = combine("in cycle", colours[number], everyone)
            self._traits[number] = traits


def _refined(
    colours: dict[int, bytes], outward: dict[int, tuple[bytes, list[tuple[bytes, int | None]], bool]]
) -> dict[int, bytes]:
    count = len(set(colours.values()))
    while True:
        finer = {}
        for number, (label, edges, unordered) in outward.items():
            pieces = [piece if target is None else piece + colours[target] for piece, target in edges]
            finer[number] = combine(label, *(sorted(pieces) if unordered else pieces))
        colours = finer
        now = len(set(colours.values()))
        if now == count:
            return colours
        count = now


def _popped(open_nodes: list[int], on_stack: set[int], last: int) -> list[int]:
    component = []
    while True:
        number = open_nodes.pop()
        on_stack.discard(number)
        component.append(number)
        if number == last:
            return component


def _edge(label: str) -> bytes:
    return label.encode("utf-8", "surrogatepass") + b"\0"
