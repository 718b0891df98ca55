"""The front of the room: fingerprints of functions, and digests of the code that sits inside values."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from jpipe.fingerprint.declared import declared_edges
from jpipe.fingerprint.describe import CODE, describe, source_text
from jpipe.fingerprint.hashing import FORMAT, combine
from jpipe.fingerprint.identity import identity_node
from jpipe.fingerprint.nodes.fill import complete
from jpipe.fingerprint.nodes.graph import Edge, Graph, ImportClosure, Node, Origin, WholeProject
from jpipe.fingerprint.nodes.merkle import Merkle
from jpipe.fingerprint.nodes.pruned_digest import pruned_digest
from jpipe.fingerprint.packages import STANDARD, Packages, Policy, policy
from jpipe.fingerprint.parts import BlindSpot, Fingerprint, PartKind
from jpipe.fingerprint.randomness import reaches_randomness
from jpipe.fingerprint.source.parse_cache import ParseCache
from jpipe.fingerprint.source.source_files import SourceFiles
from jpipe.system import main_module
from jpipe.system.ownership import STANDARD_MODULES, is_kind, top_level
from jpipe.system.package_settings import changed_settings

GONE = combine("gone")
"""Digest of code that a value refers to but that cannot be found any more."""


class Fingerprinter:
    """Fingerprints code as it is now: after imports, before any step runs.

    Values of globals and environment variables are taken when a fingerprint first reaches them, and once.

    Parameters
    ----------
    root : Path
        The project root; names of files are relative to it.
    parse_cache : str or Path, optional
        File that keeps what parsing told, by file stamp. Damage to it costs time only.
    key : bytes, optional
        32 bytes that sign the parse cache.
    """

    def __init__(self, root: Path, parse_cache: str | Path | None = None, *, key: bytes | None = None) -> None:
        self._files = SourceFiles(root, ParseCache(parse_cache, key))
        self._packages = Packages()
        self._graphs: dict[Policy, tuple[Graph, Merkle]] = {}

    def of(
        self,
        function: Any,
        *,
        version: str | int | None = None,
        depends: Iterable[Any] = (),
        env: Iterable[str] = (),
        packages: str | Iterable[str] | None = None,
    ) -> Fingerprint:
        """The fingerprint of a function, step, class or any other callable.

        Parameters
        ----------
        version : str or int, optional
            Stands in for the code, whatever it says; which function it is still counts.
        depends : iterable
            More that counts: objects, modules, paths of files and folders, names of distributions.
        env : iterable of str
            Environment variables whose value counts; missing is a value.
        packages : "direct", "none" or names of distributions
            Whose versions count. Default: of every package that the code reaches.

        Returns
        -------
        Fingerprint
        """
        chosen = packages if packages is None or isinstance(packages, str) else tuple(packages)
        graph, merkle = self._graph(policy(chosen))
        root = graph.value(function, named=False) if version is None else _version_node(graph, function, version)
        more = [e for k, d in enumerate(depends) for e in self._declared(graph, d, f"depends{k}")]
        more += [(f"environ {name}", graph.environment(name)) for name in sorted(set(env))]
        more += _declared_packages(graph)
        more += _settings(graph, root, self._changed_settings)
        if sys.flags.optimize:
            more.append(("python -O", _flag_node(graph, "python -O", str(sys.flags.optimize))))
        if more:
            root = _with_declared(graph, root, more)
        complete(graph)
        digest = combine(FORMAT, merkle.digest(root))
        return Fingerprint(
            digest,
            lambda: describe(graph, merkle, root),
            lambda: _draws(graph, function),
            # Several versions of the code that are asked about mostly ran the same.
            functools.cache(lambda ran: pruned_digest(graph, root, ran, lambda node: source_text(graph, node))),
        )

    def of_object(self, obj: Any) -> bytes:
        """Digest of the code of a function or class that sits inside a value."""
        graph, merkle = self._graph(policy(None))
        number = graph.value(obj)
        complete(graph)
        return merkle.digest(number)

    def of_reference(self, module: str, qualname: str) -> bytes:
        """The same for what a module has under a qualified name, imported if need be; `GONE` when there is none."""
        try:
            is_script = module == main_module.script_name()
            obj = main_module.find(module, qualname) if is_script else _imported(module, qualname)
        except Exception:  # an import runs any code of the user's; what cannot be imported is gone
            return GONE
        if obj is None:
            return GONE
        return self.of_object(obj)

    def of_import(self, path: str) -> bytes:
        """Digest of all that importing a file may run, of all files of the project for its root, or of a package."""
        graph, merkle = self._graph(policy(None))
        what, _, package = os.path.basename(path).partition(":")
        if what == "package" and package:
            return combine("package", self._packages.version(package))
        whole = os.path.realpath(path) == self._files.root
        number = graph.subject(WholeProject() if whole else ImportClosure(path))
        complete(graph)
        return merkle.digest(number)

    def variables(self) -> list[tuple[str, str, Any]]:
        """The data that all fingerprints so far reached by name: (module, qualified name in it, value)."""
        found = {place: value for graph, _ in self._graphs.values() for place, value in graph.variables.items()}
        return [(module, name, value) for (module, name), value in found.items()]

    def old_files(self) -> set[str]:
        """Files that were edited after they were imported here, as far as that was seen: what runs is older code."""
        spots = [spot for graph, _ in self._graphs.values() for node in graph.nodes for spot in node.blind]
        names = {spot.file for spot in spots if spot.what == BlindSpot.OLD_CODE.value}
        return {os.path.abspath(os.path.join(self._files.root, name)) for name in names if name is not None}

    def environment(self) -> set[str]:
        """The environment variables that all fingerprints so far reached."""
        return {name for graph, _ in self._graphs.values() for name in graph.environment_names()}

    def relative(self, path: str) -> str:
        """A path as fingerprints name it: relative to the project root when below it."""
        return self._files.relative(path)

    def save(self) -> None:
        """Keep what parsing told for the next process."""
        self._files.save()

    @functools.cached_property
    def _changed_settings(self) -> dict[str, tuple[str, str]]:
        return changed_settings()

    def _graph(self, allowed: Policy) -> tuple[Graph, Merkle]:
        found = self._graphs.get(allowed)
        if found is None:
            graph = Graph(self._files, self._packages, allowed)
            found = self._graphs[allowed] = graph, Merkle(graph, lambda node: source_text(graph, node))
        return found

    def _declared(self, graph: Graph, item: Any, label: str) -> list[Edge]:
        """Edges for one entry of `depends=`."""
        if not isinstance(item, (str, os.PathLike)):
            return [(label, graph.value(item))]
        return declared_edges(graph, self._packages, item, label)


def _draws(graph: Graph, function: Any) -> bool:
    """Whether the code of a function may draw random numbers, also where a `version=` stands for it."""
    number = graph.value(function, named=False)
    complete(graph)
    return reaches_randomness(graph, number)


def _imported(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _version_node(graph: Graph, function: Any, version: str | int) -> int:
    identity = identity_node(graph, function)
    graph.nodes.append(Node())
    graph.nodes[-1].put(combine("version", str(version)), [("of", identity)])
    graph.nodes[-1].origin = Origin(PartKind.VERSION, "version", text=str(version))
    return len(graph.nodes) - 1


def _settings(graph: Graph, root: int, changed: Mapping[str, tuple[str, str]]) -> list[Edge]:
    """Edges to settings of packages that the code reaches, where they are not as the package has them by itself."""
    if not changed:
        return []
    complete(graph)
    used = _packages_below(graph, root)
    return [
        (name, _flag_node(graph, name, told))
        for name, (module, told) in changed.items()
        if not module or module in used or (module not in STANDARD_MODULES and used - STANDARD_MODULES)
    ]


def _packages_below(graph: Graph, root: int) -> set[str]:
    """The modules of the standard library, and the packages, whose objects the code reaches by name."""
    seen, stack, found = {root}, [root], set()
    while stack:
        number = stack.pop()
        origin, thing = graph.nodes[number].origin, graph.objects.get(number)
        if origin is not None and origin.kind is PartKind.PACKAGE and origin.name != STANDARD:
            found.add(origin.name)
        name = getattr(thing, "__name__" if is_kind(thing, ModuleType) else "__module__", None)
        if isinstance(name, str) and top_level(name) in STANDARD_MODULES:
            found.add(top_level(name))
        for _, target in graph.nodes[number].edges:
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return found


def _flag_node(graph: Graph, name: str, value: str) -> int:
    """An interpreter flag that changes what code does: without it no assertion is left out."""
    number = graph.leaf("flag", name, value)
    graph.nodes[number].origin = Origin(PartKind.ENVIRONMENT, name, text=value)
    return number


def _declared_packages(graph: Graph) -> list[Edge]:
    """Distributions named in `packages=` count even where the code does not reach them."""
    if isinstance(graph.allowed, str):
        return []
    versions = {name: graph.packages.distribution(name) or f"{name}==None" for name in sorted(graph.allowed)}
    return [(f"package {name}", graph.package(version)) for name, version in versions.items()]


def _with_declared(graph: Graph, root: int, edges: list[Edge]) -> int:
    graph.nodes.append(Node())
    graph.nodes[-1].put(combine("declared"), [(CODE, root), *edges])
    return len(graph.nodes) - 1
