"""What a fingerprint consists of, for people: its parts by name, place and content, worked out only when asked for."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Graph, Node, Origin
from jpipe.fingerprint.nodes.merkle import Merkle
from jpipe.fingerprint.nodes.references import written
from jpipe.fingerprint.parts import BUILTIN, UNDEFINED, Description, Part, PartKind, Unseen

CODE = "code"
"""The edge from what a step declares to its function."""
_LONGEST = 200
_FEW = 1000


def describe(graph: Graph, merkle: Merkle, root: int) -> Description:
    """The parts reachable from a node, in the order in which they are reached."""
    walk = _Walk(graph, merkle, root)
    walk.run()
    unseen = dict.fromkeys(walk.unseen)
    return Description(tuple(walk.parts), tuple(unseen), tuple(dict.fromkeys(walk.environment)))


def source_text(graph: Graph, node: Node) -> str:
    """The source text of a node."""
    origin = node.origin
    if origin is None or origin.file is None:
        return ""
    return "\n".join(graph.files.parsed(origin.file).text_of(*span) for span in origin.spans)


class _Known(NamedTuple):
    """What is the same of a node for all that reach it."""

    part: Part | None
    following: list[int]
    """The parts next to it."""
    constants: list[Part]


class _Walk:
    """A breadth-first walk from part to part; values between them belong to the part that holds them."""

    def __init__(self, graph: Graph, merkle: Merkle, root: int) -> None:
        self.graph, self.merkle, self.root = graph, merkle, root
        self.parts: list[Part] = []
        self.unseen: list[Unseen] = []
        self.environment: list[str] = []
        self._declared: list[int] = []
        edges = graph.nodes[root].edges
        if graph.nodes[root].origin is None and edges and edges[0][0] == CODE and graph.nodes[edges[0][1]].origin:
            self.root = edges[0][1]
            self._declared = [target for _, target in edges[1:]]
        self._seen = {root, self.root}
        self._variant = merkle.variant(root)
        self._noted: set[tuple[PartKind, str, int | None, bytes]] = set()

    def run(self) -> None:
        level: list[tuple[int, str | None]] = [(self.root, None)]
        while level:
            following: list[tuple[int, str | None]] = []
            for number, via in level:
                name = self._visit(number, via)
                more = self._declared if number == self.root else []
                for target in [*self._known(number).following, *more]:
                    if target not in self._seen:
                        self._seen.add(target)
                        following.append((target, name))
            level = following

    def _visit(self, number: int, via: str | None) -> str | None:
        """Note the part of a node; returns the name under which it reaches others."""
        node = self.graph.nodes[number]
        name = via
        self.unseen += node.blind
        self.environment += node.environment
        if node.origin is not None or number == self.root:
            part = self._part(number, node)._replace(via=via)
            self._add(part)
            name = part.name
        for constant in self._known(number).constants:
            self._add(constant._replace(via=name))
        return name

    def _known(self, number: int) -> _Known:
        """What is the same of a node for all that reach it."""
        place = number, self._variant
        known: _Known | None = self.graph.described.get(place)
        if known is None:
            node = self.graph.nodes[number]
            part = None if node.origin is None else self._described(number, node, node.origin)
            known = _Known(part, self._next_parts(number), list(self._constants(number)))
            self.graph.described[place] = known
        return known

    def _add(self, part: Part) -> None:
        key = (part.kind, part.name, part.line, part.digest)
        if key not in self._noted:
            self._noted.add(key)
            self.parts.append(part)

    def _part(self, number: int, node: Node) -> Part:
        part = self._known(number).part
        if part is None:
            return Part(PartKind.CODE, "the step's function", None, None, self._own_digest(number), None, None)
        is_code = number == self.root and part.kind is PartKind.HELPER
        return part._replace(kind=PartKind.CODE) if is_code else part

    def _described(self, number: int, node: Node, origin: Origin) -> Part:
        file = self.graph.files.relative(origin.file) if origin.file else None
        text = source_text(self.graph, node) if origin.spans else origin.text
        digest = self._own_digest(number)
        return Part(origin.kind, origin.name, file, origin.line, digest, text, None, self._uses(number))

    def _constants(self, number: int) -> Iterator[Part]:
        for value_node, make in self.graph.constants.get(number, ()):
            constant = make()
            file = self.graph.files.relative(constant.file) if constant.file else None
            digest = self._own_digest(value_node)
            yield Part(PartKind.CONSTANT, constant.name, file, constant.line, digest, shown(constant.value), None)

    def _inside(self, number: int) -> Iterator[tuple[str, int, bool]]:
        """Nodes that belong to a part, and the parts next to it: `(edge, node, whether a part of its own)`.

        What is in a set is left to who asks.
        """
        nodes = self.graph.nodes
        own = {value for value, _ in self.graph.constants.get(number, ())}
        seen = {number}
        stack = list(reversed(nodes[number].edges))
        while stack:
            label, target = stack.pop()
            is_part = nodes[target].origin is not None or target in own
            yield label, target, is_part
            if target not in seen and nodes[target].origin is None:
                seen.add(target)
                if target not in own and not nodes[target].unordered:
                    stack.extend(reversed(nodes[target].edges))

    def _next_parts(self, number: int) -> list[int]:
        found = []
        nodes = self.graph.nodes
        seen = {number}
        stack = list(reversed(nodes[number].edges))
        while stack:
            _, target = stack.pop()
            if target in seen:
                continue
            seen.add(target)
            if nodes[target].origin is not None:
                found.append(target)
            else:
                stack.extend(reversed(nodes[target].edges))
        return found

    def _own_digest(self, number: int, around: frozenset[int] = frozenset()) -> bytes:
        """Digest of a part without the parts that it reaches, under whatever names it reaches them.

        What is in sets has another order in each process; `around` are the sets that are at work.
        """
        nodes = self.graph.nodes
        around |= {number}
        pieces: list[bytes] = []
        for label, target, is_part in self._inside(number):
            pieces.append(label.encode("utf-8", "surrogatepass"))
            if not is_part:
                is_set = nodes[target].unordered and target not in around
                own = self._own_digest(target, around) if is_set else self.merkle.label(nodes[target], self._variant)
                pieces.append(own)
        if nodes[number].unordered:
            pieces.sort()
        return combine(self.merkle.label(nodes[number], self._variant), *pieces)

    def _uses(self, number: int) -> tuple[tuple[str, str], ...]:
        """What the references of a part mean: name as written, name of the part it leads to."""
        node = self.graph.nodes[number]
        names = {value: constant().name for value, constant in self.graph.constants.get(number, ())}
        found: dict[str, str] = {}
        for label, target in node.edges:
            for place in label.split("|"):  # all builtins share one edge
                rest = place.lstrip("0123456789")
                digits = place[: len(place) - len(rest)]
                if digits and int(digits) < len(node.references):
                    origin = self.graph.nodes[target].origin
                    meaning = origin.name if origin else names.get(target) or _meaning(rest)
                    found.setdefault(written(node.references[int(digits)]), meaning)
        return tuple(found.items())


def _meaning(label: str) -> str:
    """What a reference that leads to no part means, from the rest of its edge."""
    if label.startswith("undefined:"):
        return UNDEFINED
    return BUILTIN if label.startswith((":", "builtin:")) else label.lstrip(".") or "a value"


_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = 40
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = _LONGEST


def shown(value: Any) -> str:
    """A value as text of up to 200 characters; code of the user's that fails in `__repr__` shows as its type."""
    try:
        if getattr(type(value), "__repr__", None) is object.__repr__ and hasattr(value, "__dict__"):
            text = f"{type(value).__qualname__}({', '.join(f'{k}={v!r}' for k, v in vars(value).items())})"
        else:
            small = not hasattr(value, "__len__") or len(value) < _FEW
            text = repr(value) if small else _SHORT.repr(value)
            if small and value and type(value) in (set, frozenset):  # in an order that is the same in all processes
                text = text[: text.index("{") + 1] + ", ".join(sorted(map(repr, value))) + text[text.rindex("}") :]
    except Exception:  # a broken __repr__ must not break an explanation
        return f"<{type(value).__qualname__}>"
    text = _ADDRESS.sub("", text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
"""Where an object lies in memory: different in every process."""
