"""Names followed in source alone: imports inside functions are resolved without importing anything."""

from __future__ import annotations

import os

from jpipe.fingerprint.nodes.graph import Edge, Effects, Graph, ImportClosure, StaticModule, StaticName
from jpipe.fingerprint.nodes.import_effects import effect_files
from jpipe.fingerprint.source.outline import FromImport, PlainImport
from jpipe.fingerprint.source.scopes import IMPORT, RUN, Imported
from jpipe.fingerprint.source.source_files import is_package
from jpipe.fingerprint.source.template import Root
from jpipe.system.ownership import is_jpipe_module, top_level


def follow_import(graph: Graph, importer: str, source: Imported, attributes: tuple[str, ...], label: str) -> list[Edge]:
    """Edges for what an import inside a function (or in an unloaded module) stands for."""
    kind, module, name, level = source
    if kind == RUN:
        return _run(graph, importer, source, label)
    path = graph.files.import_target(importer, module, level)
    chain = list(attributes) if name is None else [name, *attributes]
    if path is None:
        return _foreign(graph, module, name, attributes, label)
    path, chain = _into_package(graph, path, chain)
    edges = _run_edges(graph, path, label)
    if not chain:
        return [(label + "module", graph.subject(StaticModule(path))), *edges]
    return [(f"{label}.{'.'.join(chain[1:])}", graph.subject(StaticName(path, chain[0]))), *edges]


def _foreign(graph: Graph, module: str, name: str | None, attributes: tuple[str, ...], label: str) -> list[Edge]:
    if is_jpipe_module(module):
        return [(f"{label}jpipe:{name or ''}.{'.'.join(attributes)}", graph.leaf("jpipe"))]
    version = graph.packages.version(top_level(module or "?"))
    return [(f"{label}x:{module}.{name or ''}.{'.'.join(attributes)}", graph.package(version))]


def _into_package(graph: Graph, path: str, chain: list[str]) -> tuple[str, list[str]]:
    """Walk from a package to the submodule that the chain names."""
    while chain and is_package(path):
        inner = graph.files.submodule(path, chain[0])
        is_bound = os.path.exists(path) and chain[0] in graph.files.parsed(path).bound
        if inner is None or (is_bound and not _imports_submodule(graph, path, chain[0])):
            break
        path, chain = inner, chain[1:]
    return path, chain


def _imports_submodule(graph: Graph, package: str, name: str) -> bool:
    """Whether a package binds a name by importing its submodule of that name."""
    for entry in graph.files.parsed(package).top:
        if isinstance(entry, FromImport) and (name, name) in entry.names:
            return graph.files.import_target(package, entry.module, entry.level) == package
    return False


def _run(graph: Graph, importer: str, source: Imported, label: str) -> list[Edge]:
    """Executing an import runs the module, whatever is used of it."""
    _, module, name, level = source
    path = graph.files.import_target(importer, module, level)
    if path is None:
        return []
    inner = graph.files.submodule(path, name) if name else None
    if inner is not None and os.path.exists(inner):
        path = inner
    return _run_edges(graph, path, label)


def _run_edges(graph: Graph, path: str, label: str) -> list[Edge]:
    """What counts of running a module: its effects, or all of its text where names alone do not lead everywhere."""
    if not graph.closures.is_followed_by_name(path):
        return [(label + "closure", graph.subject(ImportClosure(path)))]
    return [(label + "effects", graph.subject(Effects(path, True)))] if effect_files(graph, path, True) else []


def follow_static(graph: Graph, path: str, root: Root, attributes: tuple[str, ...], label: str) -> list[Edge]:
    """Edges for a name used in a file that is followed in source alone."""
    if not isinstance(root, str):
        return follow_import(graph, path, root, attributes, label)
    edges: list[Edge] = []
    for entry in graph.files.parsed(path).top:  # several may bind it: one in `try`, another in `except ImportError`
        if isinstance(entry, FromImport):
            edges += _from_import(graph, path, entry, root, attributes, label)
        elif isinstance(entry, PlainImport):
            for bound, module, renamed in entry.names:
                if bound == root:
                    source: Imported = (IMPORT, module if renamed else root, None, 0)
                    edges += follow_import(graph, path, source, attributes, label)
    if edges:
        return edges
    if root in graph.files.parsed(path).bound:
        return [(f"{label}.{'.'.join(attributes)}", graph.subject(StaticName(path, root)))]
    return [(f"{label}builtin:{root}.{'.'.join(attributes)}", graph.leaf("builtin"))]


def _from_import(
    graph: Graph, path: str, entry: FromImport, root: str, attributes: tuple[str, ...], label: str
) -> list[Edge]:
    """Edges for a name as far as one `from ... import` of the file binds it."""
    edges: list[Edge] = []
    for bound, original in entry.names:
        if bound == root:
            edges += follow_import(graph, path, (IMPORT, entry.module, original, entry.level), attributes, label)
        elif original == "*":
            target = graph.files.import_target(path, entry.module, entry.level)
            if target and graph.files.provides(target, root):
                edges.append((label, graph.subject(StaticName(target, root))))
    return edges
