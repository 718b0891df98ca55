"""Where the boxes of a graph stand: a layered drawing (Sugiyama's), top to bottom.

Written here because no library fits: Graphviz wants a system package, dagre and elkjs a JavaScript engine (and scripts
do not run where notebooks and READMEs show a picture), grandalf is no longer kept, and networkx orders layers without a
look at crossings. The steps are the textbook's: layers by the longest path, points where an edge passes a layer,
barycentre sweeps against crossings, then positions as near to the neighbours as the order lets them.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Layout", "layered"]

_GAP = 28.0
_LAYER_GAP = 52.0
_MARGIN = 12.0
_SWEEPS = 12
_POINT = 8.0
"""Width that an edge takes where it passes a layer."""


class Layout(NamedTuple):
    """Where everything stands.

    Parameters
    ----------
    boxes
        By name, the middle of each box.
    edges
        By (from, to), the points that the edge goes through, from the lower side of the one to the upper side of the
        other: two for each layer that it passes, at its upper and its lower side.
    width, height
        Of the whole drawing.
    """

    boxes: dict[str, tuple[float, float]]
    edges: dict[tuple[str, str], list[tuple[float, float]]]
    width: float
    height: float


_Node = str | tuple[str, str, int]
"""A box by its name, or the point of an edge in a layer."""


def layered(needs: Mapping[str, Sequence[str]], sizes: Mapping[str, tuple[float, float]]) -> Layout:
    """Lay a graph out.

    Parameters
    ----------
    needs
        By name, what each needs; without circles, and in an order that is kept where it costs nothing.
    sizes
        By name, width and height of the box.
    """
    edges = [(need, name) for name, found in needs.items() for need in dict.fromkeys(found) if need in needs]
    level = _levels(needs, edges)
    layers: list[list[_Node]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in needs:
        layers[level[name]].append(name)
    chains: dict[tuple[str, str], list[_Node]] = {}
    for one, other in edges:
        points: list[_Node] = [(one, other, at) for at in range(level[one] + 1, level[other])]
        for at, point in enumerate(points, level[one] + 1):
            layers[at].append(point)
        chains[one, other] = [one, *points, other]
    above, below = _neighbours(chains)
    layers = _ordered(layers, above, below)
    widths = {node: sizes[node][0] if isinstance(node, str) else _POINT for layer in layers for node in layer}
    across = _placed(layers, above, below, widths)
    return _drawn(layers, chains, across, widths, sizes)


def _levels(needs: Mapping[str, Sequence[str]], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The layer of each: one below all that it needs, and what needs nothing just above what takes it first."""
    level: dict[str, int] = {}
    takers: dict[str, list[str]] = {}
    for one, other in edges:
        takers.setdefault(one, []).append(other)
    waiting = {name: sum(need in needs for need in dict.fromkeys(found)) for name, found in needs.items()}
    ready = [name for name, count in waiting.items() if not count]
    order = []
    while ready:
        name = ready.pop()
        order.append(name)
        level.setdefault(name, 0)
        for taker in takers.get(name, ()):
            level[taker] = max(level.get(taker, 0), level[name] + 1)
            waiting[taker] -= 1
            if not waiting[taker]:
                ready.append(taker)
    for name in needs:  # a circle, as between two steps that are called in turns
        level.setdefault(name, 0)
    for name in reversed(order):
        if not any(need in needs for need in needs[name]) and takers.get(name):
            level[name] = max(0, min(level[taker] for taker in takers[name]) - 1)
    return level


def _neighbours(
    chains: Mapping[tuple[str, str], Sequence[_Node]],
) -> tuple[dict[_Node, list[_Node]], dict[_Node, list[_Node]]]:
    above: dict[_Node, list[_Node]] = {}
    below: dict[_Node, list[_Node]] = {}
    for chain in chains.values():
        for one, other in itertools.pairwise(chain):
            below.setdefault(one, []).append(other)
            above.setdefault(other, []).append(one)
    return above, below


def _ordered(
    layers: list[list[_Node]], above: Mapping[_Node, list[_Node]], below: Mapping[_Node, list[_Node]]
) -> list[list[_Node]]:
    """The layers in the order with the fewest crossings that the sweeps find."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours = above if down else below
        for at in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = {node: place for place, node in enumerate(layers[at - 1 if down else at + 1])}
            layers[at] = _by_barycentre(layers[at], neighbours, fixed)
        count = _crossings(layers, below)
        if count < fewest:
            best, fewest = [list(layer) for layer in layers], count
    return best


def _by_barycentre(
    layer: Sequence[_Node], neighbours: Mapping[_Node, list[_Node]], fixed: Mapping[_Node, int]
) -> list[_Node]:
    keys = {}
    for place, node in enumerate(layer):
        places = [fixed[other] for other in neighbours.get(node, ()) if other in fixed]
        keys[node] = sum(places) / len(places) if places else float(place)
    return sorted(layer, key=keys.__getitem__)


def _crossings(layers: Sequence[Sequence[_Node]], below: Mapping[_Node, list[_Node]]) -> int:
    count = 0
    for upper, lower in itertools.pairwise(layers):
        place = {node: at for at, node in enumerate(lower)}
        passed: list[int] = []
        for node in upper:
            ends = sorted(place[other] for other in below.get(node, ()) if other in place)
            count += sum(len(passed) - bisect.bisect_right(passed, end) for end in ends)
            for end in ends:
                bisect.insort(passed, end)
    return count


def _placed(
    layers: Sequence[Sequence[_Node]],
    above: Mapping[_Node, list[_Node]],
    below: Mapping[_Node, list[_Node]],
    widths: Mapping[_Node, float],
) -> dict[_Node, float]:
    """The middle of each, across: as near to the middle of its neighbours as order and widths allow."""
    across: dict[_Node, float] = {}
    for layer in layers:
        edge = 0.0
        for node in layer:
            across[node] = edge + widths[node] / 2
            edge += widths[node] + _GAP
        for node in layer:
            across[node] -= edge / 2
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            _settle(layer, above if down else below, across, widths)
    for layer in layers:  # at last between what is above and what is below
        both = {node: [*above.get(node, ()), *below.get(node, ())] for node in layer}
        _settle(layer, both, across, widths)
    return across


def _settle(
    layer: Sequence[_Node],
    neighbours: Mapping[_Node, list[_Node]],
    across: dict[_Node, float],
    widths: Mapping[_Node, float],
) -> None:
    """Place one layer: least squares under the order, by pooling neighbours that would overlap."""
    offsets = [0.0]
    for one, other in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (widths[one] + widths[other]) / 2 + _GAP)
    pools: list[tuple[float, float, int]] = []  # (weighted sum, weight, members)
    for node, offset in zip(layer, offsets, strict=True):
        places = [across[other] for other in neighbours.get(node, ())]
        wish = sum(places) / len(places) if places else across[node]
        weight = 0.1 if not places else 1.0 if isinstance(node, str) else 4.0  # long edges want to be straight
        pools.append(((wish - offset) * weight, weight, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, weight, members = pools.pop()
            pools[-1] = (pools[-1][0] + total, pools[-1][1] + weight, pools[-1][2] + members)
    at = 0
    for total, weight, members in pools:
        for node, offset in zip(layer[at : at + members], offsets[at : at + members], strict=True):
            across[node] = total / weight + offset
        at += members


def _drawn(
    layers: Sequence[Sequence[_Node]],
    chains: Mapping[tuple[str, str], Sequence[_Node]],
    across: Mapping[_Node, float],
    widths: Mapping[_Node, float],
    sizes: Mapping[str, tuple[float, float]],
) -> Layout:
    if not across:
        return Layout({}, {}, 2 * _MARGIN, 2 * _MARGIN)
    left = min(across[node] - widths[node] / 2 for node in across) - _MARGIN
    right = max(across[node] + widths[node] / 2 for node in across) + _MARGIN
    down: dict[_Node, float] = {}
    half: dict[_Node, float] = {}
    top = _MARGIN
    for layer in layers:
        height = max((sizes[node][1] for node in layer if isinstance(node, str)), default=0.0)
        down |= dict.fromkeys(layer, top + height / 2)
        half |= dict.fromkeys(layer, height / 2)
        top += height + _LAYER_GAP
    boxes = {node: (across[node] - left, down[node]) for node in across if isinstance(node, str)}
    edges = {}
    for (one, other), chain in chains.items():
        first, *passed, last = ((across[node] - left, down[node], half[node]) for node in chain)
        points = [(first[0], first[1] + sizes[one][1] / 2)]
        for x, y, tall in passed:
            points += [(x, y - tall), (x, y + tall)]
        edges[one, other] = [*points, (last[0], last[1] - sizes[other][1] / 2)]
    return Layout(boxes, edges, right - left, top - _LAYER_GAP + _MARGIN)
