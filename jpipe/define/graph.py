"""Which call needs which: the pipeline as a networkx graph."""

from __future__ import annotations

import functools
import json
from typing import Any

import networkx

from jpipe.define.layout import Layout
from jpipe.errors import WiringError
from jpipe.model.display import Displayed
from jpipe.model.mermaid import mermaid_label, printable

__all__ = ["Graph"]


class Graph(Displayed):
    """The calls of a laid out pipeline and what each needs.

    Parameters
    ----------
    layout
        The calls.
    name
        The pipeline's name.

    Raises
    ------
    WiringError
        When calls need each other in a circle.
    """

    def __init__(self, layout: Layout, name: str = "") -> None:
        self.layout = layout
        self.name = name
        if not networkx.is_directed_acyclic_graph(self.digraph):
            cycle = " → ".join(self.digraph.nodes[n]["step"] for n, _ in networkx.find_cycle(self.digraph))
            raise WiringError(f"these calls need each other in a circle: {cycle}")

    @functools.cached_property
    def digraph(self) -> networkx.DiGraph[int]:
        """A node for each call, by its number, with ``step``, ``file`` and ``line``; an edge from each need."""
        graph: networkx.DiGraph[int] = networkx.DiGraph()
        for call in self.layout.calls:
            graph.add_node(call.number, step=call.step.name, file=call.location.file, line=call.location.line)
            graph.add_edges_from((need, call.number) for need in call.needs)
        return graph

    @functools.cached_property
    def steps(self) -> networkx.DiGraph[str]:
        """A node for each step, with ``calls`` (how many) and ``mapped``; an edge where one needs the other."""
        graph: networkx.DiGraph[str] = networkx.DiGraph()
        for call in self.layout.calls:
            name = call.step.name
            if name not in graph:
                graph.add_node(name, calls=0, mapped=False, file=call.location.file, line=call.location.line)
            graph.nodes[name]["calls"] += 1
            graph.nodes[name]["mapped"] |= call.is_mapped
        for need, number in self.digraph.edges:
            upstream, downstream = self.digraph.nodes[need]["step"], self.digraph.nodes[number]["step"]
            if upstream != downstream:
                graph.add_edge(upstream, downstream)
        return graph

    def order(self) -> list[str]:
        """The steps, upstream first; in the order of the program where the graph leaves a choice."""
        first = {name: position for position, name in enumerate(self.steps)}
        if not networkx.is_directed_acyclic_graph(self.steps):
            return list(first)
        return list(networkx.lexicographical_topological_sort(self.steps, key=first.__getitem__))

    def to_dot(self) -> str:
        """The steps in Graphviz's language."""
        lines = [f"digraph {_quoted(self.name or 'pipeline')} {{", "  rankdir=LR;", "  node [shape=box];"]
        lines += [f"  {_quoted(name)} [label={_quoted(self._label(name))}];" for name in self.steps]
        lines += [f"  {_quoted(a)} -> {_quoted(b)};" for a, b in self.steps.edges]
        return "\n".join([*lines, "}"]) + "\n"

    def to_mermaid(self) -> str:
        """The steps in Mermaid's language."""
        number = {name: f"s{position}" for position, name in enumerate(self.steps)}
        lines = ["graph LR"]
        lines += [f'  {number[name]}["{mermaid_label(self._label(name))}"]' for name in self.steps]
        lines += [f"  {number[a]} --> {number[b]}" for a, b in self.steps.edges]
        return "\n".join(lines) + "\n"

    def to_json(self) -> dict[str, Any]:
        """Steps and edges as plain data."""
        steps = [{"step": name, **self.steps.nodes[name]} for name in self.order()]
        return {"v": 1, "pipeline": self.name, "steps": steps, "edges": [list(edge) for edge in self.steps.edges]}

    def __repr__(self) -> str:
        return f"<graph of {self.name}: {len(self.layout.calls)} calls of {len(self.steps)} steps>"

    def _label(self, name: str) -> str:
        data = self.steps.nodes[name]
        return f"{name} ×n" if data["mapped"] else f"{name} ×{data['calls']}" if data["calls"] > 1 else name


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)
