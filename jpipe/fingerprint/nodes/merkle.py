"""The digest of a node from the graph below it: Merkle over components, colour refinement in cycles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Edge, Graph, Node
from jpipe.fingerprint.source.template import Trait

Label = Callable[[Node], bytes]

_WITH_ANNOTATIONS = Trait.FIELDS | Trait.READS_SOURCE
_EMPTY = combine("empty")


class Merkle:
    """Digests of one graph, in variants: what always counts, and by trait what code may read of other code besides."""

    def __init__(self, graph: Graph, source_text: Callable[[Node], str]) -> None:
        self._graph = graph
        self._source_text = source_text
        self._traits: dict[int, dict[int, int]] = {}
        self._digests: dict[int, dict[int, bytes]] = {}

    def digest(self, root: int, variant: int | None = None) -> bytes:
        """32 bytes that stand for everything reachable from `root`; `variant` where that is known."""
        if variant is None:
            variant = self.variant(root)
        self._finish(root, variant)
        return self._digests[variant][root]

    def variant(self, root: int) -> int:
        """What is read below `root`, as traits; reading annotations may lead to code that reads more."""
        variant, found = -1, 0
        while found != variant:
            variant = found
            found |= self._finish(root, variant) & Trait.READ
        return variant

    def variant_alone(self, root: int) -> int:
        """The same, where no other root is going to be asked about: without digests that this one has no use for."""
        variant, found = -1, 0
        while found != variant:
            variant = found
            seen, stack = {root}, [root]
            while stack:
                node = self._graph.nodes[stack.pop()]
                found |= node.traits
                for _, target in self._edges(node, variant):
                    if target not in seen:
                        seen.add(target)
                        stack.append(target)
            found &= Trait.READ
        return variant

    def label(self, node: Node, variant: int) -> bytes:
        """What a node says itself, as far as it counts."""
        if variant == 0:
            return node.label
        said = [digest for trait, digest in node.said.items() if variant & (trait | Trait.READS_SOURCE)]
        if variant & Trait.READS_SOURCE and node.origin is not None and node.origin.spans:
            said.append(combine(self._source_text(node)))
        return combine(node.label, *said) if said else node.label

    def _edges(self, node: Node, variant: int) -> list[Edge]:
        """What a node leads to, as far as it counts."""
        return node.edges + node.annotated if node.annotated and variant & _WITH_ANNOTATIONS else node.edges

    def _finish(self, root: int, variant: int) -> int:
        """Tarjan's algorithm without recursion; each component is digested as it is completed, those below it first."""
        done = self._digests.setdefault(variant, {})
        all_traits = self._traits.setdefault(variant, {})
        if root in done:
            return all_traits[root]
        nodes = self._graph.nodes
        index, low = {root: 0}, {root: 0}
        open_nodes, on_stack = [root], {root}
        work: list[tuple[int, Iterator[Edge]]] = [(root, iter(self._edges(nodes[root], variant)))]
        while work:
            node, edges = work[-1]
            for _, target in edges:
                if target in done:
                    continue
                if target not in index:
                    index[target] = low[target] = len(index)
                    open_nodes.append(target)
                    on_stack.add(target)
                    work.append((target, iter(self._edges(nodes[target], variant))))
                    break
                if target in on_stack and index[target] < low[node]:
                    low[node] = index[target]
            else:
                work.pop()
                if work and low[node] < low[work[-1][0]]:
                    low[work[-1][0]] = low[node]
                if low[node] == index[node]:
                    self._component(_popped(open_nodes, on_stack, node), variant)
        return all_traits[root]

    def _component(self, component: list[int], variant: int) -> None:
        edges = self._edges(self._graph.nodes[component[0]], variant)
        if len(component) == 1 and all(target != component[0] for _, target in edges):
            self._single(component[0], variant)
        else:
            self._cycle(component, variant)

    def _single(self, number: int, variant: int) -> None:
        node, done, all_traits = self._graph.nodes[number], self._digests[variant], self._traits[variant]
        traits, pieces = node.traits, []
        for label, target in self._edges(node, variant):
            traits |= all_traits[target]
            pieces.append(_edge(label) + done[target])
        if node.unordered:
            pieces.sort()
        own = self.label(node, variant)
        done[number] = combine(own, *pieces) if pieces else own or _EMPTY
        all_traits[number] = traits

    def _cycle(self, component: list[int], variant: int) -> None:
        """Nodes that reach each other: refine colours until no more are told apart, whoever was entered first."""
        nodes, done, all_traits = self._graph.nodes, self._digests[variant], self._traits[variant]
        inside = set(component)
        traits: int = Trait.NONE
        outward: dict[int, tuple[bytes, list[tuple[bytes, int | None]], bool]] = {}
        for number in component:
            node = nodes[number]
            traits |= node.traits
            pieces: list[tuple[bytes, int | None]] = []
            for label, target in self._edges(node, variant):
                if target in inside:
                    pieces.append((_edge(label), target))
                else:
                    traits |= all_traits[target]
                    pieces.append((_edge(label) + done[target], None))
            outward[number] = (self.label(node, variant), pieces, node.unordered)
        colours = _refined({number: combine("cycle", outward[number][0]) for number in component}, outward)
        everyone = b"".join(sorted(set(colours.values())))
        for number in component:
            done[number] = combine("in cycle", colours[number], everyone)
            all_traits[number] = traits


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
