"""The graph of everything a function reaches: labelled nodes and edges, filled from a work list."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from jpipe.digest.canonical import SCALARS, scalar
from jpipe.digest.live import Live
from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.packages import STANDARD, Packages, Policy
from jpipe.fingerprint.parts import Code, PartKind, Unseen
from jpipe.fingerprint.source.import_closures import Closures
from jpipe.fingerprint.source.source_files import SourceFiles
from jpipe.fingerprint.source.template import Reference, Root, Trait
from jpipe.system.ownership import is_step

Edge = tuple[str, int]
"""`(label, node)`."""


class Origin(NamedTuple):
    """Which part of the user's project a node stands for."""

    kind: PartKind
    name: str
    file: str | None = None
    line: int | None = None
    spans: tuple[tuple[int, int], ...] = ()
    """First and last lines of its source text."""
    text: str | None = None
    """What it says, when that is not source text."""


class Constant(NamedTuple):
    """A data value under a name that the user gave it."""

    name: str
    value: Any
    file: str | None
    line: int | None


class Stated(NamedTuple):
    """A top-level statement that counts by its text, and where the edges of it are."""

    path: str
    number: int
    roots: tuple[Root, ...]
    """What its references begin with."""
    starts: tuple[int, ...]
    """Where the edge is that holds its text, where those of each reference begin, and where the last of these end."""


LEAVES = SCALARS | {type(NotImplemented)}
"""Types of values that lead nowhere."""


class Node:
    """One thing: function, class, value, module, package, or the definition of something opaque."""

    __slots__ = (
        "annotated",
        "blind",
        "data",
        "edges",
        "environment",
        "hides",
        "imported",
        "kept",
        "label",
        "opaque",
        "origin",
        "references",
        "said",
        "statements",
        "traits",
        "unordered",
    )

    def __init__(self, label: bytes = b"") -> None:
        self.label = label
        """Digest of what it says itself."""
        self.said: dict[int, bytes] = {}
        """By trait, what code may read of it beside what it does: names, docstring, annotations."""
        self.annotated: list[Edge] = []
        """What its annotations lead to, which counts with them."""
        self.edges: list[Edge] = []
        self.unordered = False
        """True when the order of its edges does not count (sets)."""
        self.traits: int = Trait.NONE
        self.data = False
        """True for a value, whose edges lead to what is inside it."""
        self.opaque = False
        """True for a value that cannot be looked into."""
        self.origin: Origin | None = None
        self.references: tuple[Reference, ...] = ()
        """What it uses, by the numbers that its edges begin with, to name a rebinding."""
        self.environment: tuple[str, ...] = ()
        self.blind: tuple[Unseen, ...] = ()
        self.kept: int | None = None
        """Of a function whose source is what runs: how many of its edges stay when its body is left out."""
        self.imported = (0, 0)
        """From where to where its edges are of statements that stand for what they made when they ran."""
        self.statements: list[Stated] = []
        """The statements that it stands for."""
        self.hides = False
        """True for what may keep something that is not seen of it, a cache above all: what filled that counts too."""

    def put(
        self,
        label: bytes,
        edges: list[Edge] | tuple[Edge, ...] = (),
        said: dict[int, bytes] | None = None,
        data: bool = False,
    ) -> None:
        """Fill the node."""
        self.label = label
        self.said = said or {}
        self.edges = list(edges)
        self.data = data


# What a node can stand for besides a live object. `kind` keeps two of them with equal fields apart; dataclasses would
# too, but take a millisecond each to define.


class Definition(NamedTuple):
    """The top-level statements that build a global whose value cannot be looked into."""

    path: str
    name: str
    kind: str = "definition"


class StaticName(NamedTuple):
    """A top-level name of a module that is imported inside a function: followed in source, never imported."""

    path: str
    name: str
    kind: str = "static name"


class StaticModule(NamedTuple):
    """All of a module that is imported inside a function."""

    path: str
    kind: str = "static module"


class Effects(NamedTuple):
    """What importing a file changes besides binding names, its own imports included."""

    path: str
    static: bool
    kind: str = "effects"


class OwnEffects(NamedTuple):
    """The part of that which stands in the file itself."""

    path: str
    static: bool
    kind: str = "own effects"


class ImportClosure(NamedTuple):
    """All files that importing a file inside a function may run, by their text."""

    path: str
    kind: str = "import closure"


class WholeProject(NamedTuple):
    """Every file of the project: what a module imported under a computed name may be."""

    kind: str = "whole project"


Subject = Definition | StaticName | StaticModule | Effects | OwnEffects | ImportClosure | WholeProject


def _name_of(version: str) -> str:
    return version.partition("==")[0]


_READ_NO_FIELDS = frozenset(
    {"jpipe", "numpy", "pandas", "scipy", "scikit-learn", "joblib", "matplotlib", "seaborn", "statsmodels", "pillow"}
    | {"networkx", "polars", "pyarrow", "torch", "torchvision", "xgboost", "lightgbm", "sympy", "numba", "tqdm"}
    | {"opencv-python", "scikit-image", "h5py", "requests", "duckdb", "xarray", "plotly", "pyyaml", "beautifulsoup4"}
)
"""Packages that do not look at what the fields of the user's classes are annotated with; others may."""


class Graph:
    """Nodes, each made once, and the work list of those that are still empty.

    Nothing here recurses: a chain of calls may be deeper than the stack.
    """

    def __init__(self, files: SourceFiles, packages: Packages, allowed: Policy) -> None:
        self.files = files
        self.closures = Closures(files)
        self.values = Live()
        self.packages = packages
        self.allowed = allowed
        self.nodes: list[Node] = []
        self.queue: list[tuple[int, Subject | tuple[Any, bool]]] = []
        self.deferred: list[tuple[int, Callable[[], None]]] = []
        self.constants: dict[int, list[tuple[int, Callable[[], Constant]]]] = {}
        """By node that uses them: the named values behind its edges."""
        self.modules_by_file: dict[str, dict[str, Any]] = {}
        self.effect_files: dict[tuple[str, bool], tuple[str, ...]] = {}
        self.held_names: dict[str, list[str]] = {}
        self.effect_numbers: dict[tuple[str, bool], tuple[int, ...]] = {}
        self._memo: dict[Hashable, int] = {}
        self.variables: dict[tuple[str, str], Any] = {}
        """By module and qualified name in it: the data that was reached under a name that can be set anew."""
        self.objects: dict[int, Any] = {}
        """By node: the live object that it stands for. Kept, because its id must stay taken."""
        self._opaque: dict[int, bool] = {}
        self.codes: dict[int, Code | None] = {}
        """By node: which code of the user's it stands for, as far as that was asked."""
        self.current = -1
        """The node that is being filled."""
        self.described: dict[tuple[int, int], Any] = {}
        """What was worked out of nodes to describe them, which all functions share that reach these: by number, and
        traits that count."""

    def leaf(self, *parts: str | bytes) -> int:
        """The node of something that leads nowhere."""
        key = ("leaf", *parts)
        number = self._memo.get(key)
        if number is None:
            number = self._memo[key] = self._new(combine("leaf", *parts))
        return number

    def package(self, version: str) -> int:
        """The node of an installed package, under the policy for versions."""
        counted = self.packages.counted(version, self.allowed)
        key = ("package", counted)
        number = self._memo.get(key)
        if number is None:
            number = self._memo[key] = self._new(combine("package", counted))
            name, _, tail = counted.partition("==")
            if "," in counted:
                name, tail = ", ".join(v.partition("==")[0] for v in counted.split(",")), counted
            self.nodes[number].origin = Origin(PartKind.PACKAGE, name, text=tail or counted)
            if counted != STANDARD and not set(map(_name_of, counted.split(","))) <= _READ_NO_FIELDS:
                self.nodes[number].traits = Trait.FIELDS
        return number

    def environment(self, name: str) -> int:
        """The node of an environment variable with its value now; missing is a value. The value itself is not kept."""
        content = os.environ.get(name)
        digest = combine("unset") if content is None else combine("set", content)
        key = ("environ", name)
        number = self._memo.get(key)
        if number is None:
            number = self._memo[key] = self._new(combine("environ", name, digest))
            text = "unset" if content is None else f"set (digest {digest.hex()[:12]})"
            self.nodes[number].origin = Origin(PartKind.ENVIRONMENT, f"environ {name}", text=text)
        return number

    def value(self, obj: Any, named: bool = True) -> int:
        """The node of a live object.

        Parameters
        ----------
        named : bool
            False when a function is only called, so that its name does not count.
        """
        if type(obj) in LEAVES:
            return self.leaf(b"scalar", b"NotImplemented" if obj is NotImplemented else scalar(obj))
        while is_step(obj):
            obj = obj.function
        key = (id(obj), named)
        number = self._memo.get(key)
        if number is None:
            number = self._queued(key, (obj, named))
            self.objects[number] = obj
        return number

    def subject(self, subject: Subject) -> int:
        """The node of something that is not a live object."""
        number = self._memo.get(subject)
        return self._queued(subject, subject) if number is None else number

    def environment_names(self) -> list[str]:
        """The environment variables that were reached."""
        return [str(what[1]) for what in self._memo if type(what) is tuple and what[0] == "environ"]

    def static_nodes(self) -> dict[int, StaticName | StaticModule]:
        """The nodes of what is followed in source alone."""
        return {n: what for what, n in self._memo.items() if isinstance(what, (StaticName, StaticModule))}

    def subjects(self) -> dict[int, Subject]:
        """The nodes of what is not a live object."""
        return {number: what for what, number in self._memo.items() if isinstance(what, Subject)}

    def _queued(self, key: Hashable, what: Subject | tuple[Any, bool]) -> int:
        number = self._memo[key] = self._new(b"")
        self.queue.append((number, what))
        return number

    def _new(self, label: bytes) -> int:
        self.nodes.append(Node(label))
        return len(self.nodes) - 1

    def defer(self, decide: Callable[[], None]) -> None:
        """Decide something about the current node when every node made so far is filled."""
        self.deferred.append((self.current, decide))

    def note_constant(self, node: int, constant: Callable[[], Constant]) -> None:
        """Remember under which name the node being filled reaches a value."""
        self.constants.setdefault(self.current, []).append((node, constant))

    def has_opaque(self, start: int) -> bool:
        """Is there something in this value that cannot be looked into? Only asked when every node is filled."""
        memo = self._opaque
        if start in memo:
            return memo[start]
        seen: set[int] = set()
        stack, answer = [start], False
        while stack and not answer:
            number = stack.pop()
            if number in seen or memo.get(number) is False:
                continue
            seen.add(number)
            node = self.nodes[number]
            answer = node.opaque or memo.get(number, False)
            if node.data:
                stack.extend(target for _, target in node.edges)
        if answer:
            memo[start] = True
        else:
            memo.update(dict.fromkeys(seen, False))
        return answer
