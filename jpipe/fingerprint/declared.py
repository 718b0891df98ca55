"""What `depends=` names beside live objects: files, folders with all that is in them, packages."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from jpipe.files import is_cache
from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.file_nodes import file_node
from jpipe.fingerprint.nodes.graph import Edge, Graph, Node, Origin
from jpipe.fingerprint.packages import Packages, normalised
from jpipe.fingerprint.parts import PartKind

__all__ = ["declared_edges"]


def declared_edges(graph: Graph, packages: Packages, item: str | os.PathLike[str], label: str) -> list[Edge]:
    """Edges for a path, relative to the project root, or for the name of a distribution where there is no such path."""
    path = Path(graph.files.root, item)
    if path.is_file():
        return [(label + "file", file_node(graph, str(path)))]
    if path.is_dir():
        return [(label + "folder", _folder_node(graph, str(path)))]
    version = packages.distribution(str(item)) or f"{normalised(str(item))}==None"
    return [(label + "package", graph.package(version))]


def _folder_node(graph: Graph, folder: str) -> int:
    names, edges = [], []
    for name, path in _below(folder):
        is_file = os.path.isfile(path)
        names.append(f"{name}{'' if is_file else '/'}")
        if is_file:
            edges.append((name, file_node(graph, path)))
    graph.nodes.append(Node())
    graph.nodes[-1].put(combine("declared folder", *names), edges)
    graph.nodes[-1].origin = Origin(PartKind.FILE, graph.files.relative(folder), folder)
    return len(graph.nodes) - 1


def _below(folder: str) -> Iterator[tuple[str, str]]:
    """The name and the path of everything below a folder, in order; links are followed, each folder once on a way."""
    waiting = [("", folder, frozenset[tuple[int, int]]())]
    while waiting:
        prefix, current, above = waiting.pop()
        status = os.stat(current)
        identity = status.st_dev, status.st_ino
        if identity in above or is_cache(current):
            continue
        for name in sorted(os.listdir(current)):
            path = os.path.join(current, name)
            if name == "__pycache__":
                continue
            yield prefix + name, path
            if _is_folder(path):
                waiting.append((f"{prefix}{name}/", path, above | {identity}))


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False
