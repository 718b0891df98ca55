"""Files whose content counts with the code that names or holds them."""

from __future__ import annotations

from blake3 import blake3

from jpipe.fingerprint.nodes.graph import Graph, Origin
from jpipe.fingerprint.parts import PartKind

__all__ = ["file_node"]

_BLOCK = 8 << 20


def file_node(graph: Graph, path: str) -> int:
    """The node of a file with its content now."""
    number = graph.leaf("declared file", _content(path))
    graph.nodes[number].origin = Origin(PartKind.FILE, graph.files.relative(path), path)
    return number


def _content(path: str) -> bytes:
    hasher = blake3()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(_BLOCK):
                hasher.update(block)
    except OSError:  # the step cannot read it either, or it goes at this moment
        return b""
    return hasher.digest()
