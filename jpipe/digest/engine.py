"""The walk over a value: every object once, without recursion, shared objects and cycles included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from jpipe.digest.canonical import SCALARS, Node, Refused, Tag, field, scalar, short
from jpipe.digest.cycles import encode_group
from jpipe.digest.plain import CONTAINERS, encodings
from jpipe.system import main_module
from jpipe.system.ownership import owns_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Encoder", "Fingerprints", "Reduce"]

_BASES: frozenset[type] = SCALARS | CONTAINERS | {object}

# Deeper than any data; reached by objects that are rebuilt from ever new objects.
_DEEPEST = 120_000


class Fingerprints(Protocol):
    """What the digest of a value asks about code."""

    def of_object(self, thing: Any, /) -> bytes:
        """The fingerprint of a live function, class or module."""


class Reduce(Protocol):
    """Takes a value apart: its encoding if nothing is inside it, else a node."""

    def __call__(self, value: Any, encoder: Encoder, /) -> bytes | Node: ...


class _Frame:
    """An object on its way: what is inside it so far, and Tarjan's two numbers."""

    __slots__ = ("index", "key", "looped", "low", "node", "parts", "rest", "value")

    def __init__(self, value: Any, node: Node, index: int) -> None:
        self.value = value
        self.key = id(value)
        self.node = node
        self.rest: Iterator[Any] = iter(node.children)
        self.parts: list[Any] = []
        self.index = index
        self.low = index
        self.looped = False


class Encoder:
    """Encodes values.

    Parameters
    ----------
    reduce
        How a value is taken apart.
    fingerprint
        What knows about code that is not found by its name.
    hashers
        By type: the user's functions that return what counts of a value.
    buffers
        Hashes of contiguous buffers by (address, size in bytes).

    Attributes
    ----------
    code
        The user's own classes and functions met so far, as (module, qualified name).
    heads
        By class and names of attributes, what comes before the attributes' values; `instances` fills it.
    cyclic
        Whether a group of objects that contain each other was met.
    as_is
        Whether values count as they are in this process, not as they would come out of `pickle`.
    """

    as_is = False

    def __init__(
        self,
        reduce: Reduce,
        fingerprint: Fingerprints | None,
        hashers: Mapping[type, Callable[[Any], Any]],
        buffers: Mapping[tuple[int, int], bytes],
    ) -> None:
        self._reduce = reduce
        self._fingerprint = fingerprint
        self._hashers = hashers
        self.buffers = buffers
        self.code: set[tuple[str, str]] = set()
        self.cyclic = False
        plain = SCALARS | CONTAINERS
        hashed = {kind for kind in plain if _hasher(kind, hashers)} if not _BASES.isdisjoint(hashers) else set()
        self.atoms = SCALARS - hashed
        self.leaves = CONTAINERS - hashed
        self._encoded: dict[int, bytes] = {}
        self.heads: dict[type, dict[tuple[str, ...], tuple[bytes, bool]]] = {}
        self._classes: dict[type, tuple[bytes | Node, set[tuple[str, str]]]] = {}
        self._callable: dict[type, bool] = {}
        self._kept: list[Any] = []  # an id means something only as long as its object lives

    def fingerprint(self, thing: Any) -> bytes:
        """The encoding of a piece of code that is not found by its name."""
        if self._fingerprint is None:
            raise Refused(thing, "is not found by its name, and only a fingerprint tells it from other code")
        return Tag.CODE + self._fingerprint.of_object(thing)

    def note_code(self, module: str, name: str) -> None:
        """List a class, function or value of the user's own that the encoding refers to by name."""
        self.code.add((main_module.known_as(module), name))

    def forget(self) -> None:
        """List code afresh; what was encoded before may hold code that would be missing from the new list."""
        self._encoded.clear()
        self._kept.clear()
        self.code = set()

    def of_class(self, kind: type) -> Any:
        """The class of an instance: its encoding, else what stands for it among what is inside the instance."""
        found = self._classes.get(kind)
        if found is None:
            outer, self.code = self.code, set()
            found = self._classes[kind] = self._reduce(kind, self), self.code
            self.code = outer
        self.code |= found[1]
        return found[0]

    def may_hide_code(self, kind: type) -> bool:
        """Whether instances are callables of an installed package, which often wrap a function of the user's."""
        found = self._callable.get(kind)
        if found is None:
            calls = any("__call__" in vars(base) for base in kind.__mro__)
            found = self._callable[kind] = calls and not owns_class(kind)
        return found

    def encode(self, root: Any) -> bytes:
        """The short encoding of a value.

        Raises
        ------
        Refused
            With the way to the value that cannot be digested in `path`.
        """
        stack: list[_Frame] = []
        try:
            return self._encode(root, stack)
        except Refused as refused:
            refused.way = [frame.value for frame in stack]
            refused.path = "".join(map(_step_name, stack))
            raise

    def _encode(self, root: Any, stack: list[_Frame]) -> bytes:
        opened: dict[int, _Frame] = {}
        component: list[_Frame] = []
        atoms = self.atoms
        encoded = self._encoded

        def enter(value: Any) -> bytes | None:
            """The encoding, or None after pushing a frame for it."""
            reduced: bytes | Node = value if type(value) is Node else self.take_apart(value)
            if not isinstance(reduced, Node):
                return reduced
            frame = _Frame(value, reduced, len(opened))
            quick = encodings(reduced.children, atoms, self.leaves)
            if quick is not None:
                return self._keep(frame.key, value, short(reduced.assemble(quick)))
            if len(stack) > _DEEPEST:
                raise Refused(value, f"is nested more than {_DEEPEST:,} levels deep")
            opened[frame.key] = frame
            component.append(frame)
            stack.append(frame)
            return None

        done = scalar(root) if type(root) in atoms else encoded.get(id(root)) or enter(root)
        if done is not None:
            return done
        while True:
            frame = stack[-1]
            parts = frame.parts
            for child in frame.rest:
                if type(child) in atoms:
                    parts.append(scalar(child))
                    continue
                part = encoded.get(id(child))
                if part is None:
                    other = opened.get(id(child))
                    if other is not None:
                        frame.low = min(frame.low, other.index)
                        frame.looped = True
                        parts.append(other)
                        continue
                    part = enter(child)
                    if part is None:
                        break
                parts.append(part)
            else:
                result = self._leave(frame, component, opened)
                stack.pop()
                if not stack:
                    return encoded[frame.key]
                parent = stack[-1]
                parent.parts.append(result)
                if result is frame:
                    parent.low = min(parent.low, frame.low)

    def _leave(self, frame: _Frame, component: list[_Frame], opened: dict[int, _Frame]) -> bytes | _Frame:
        """The encoding of an object all of whose parts are known, or itself while it belongs to an open group."""
        if frame.low != frame.index:
            return frame
        if component[-1] is frame and not frame.looped:
            component.pop()
            del opened[frame.key]
            return self._keep(frame.key, frame.value, short(frame.node.assemble(frame.parts)))
        self.cyclic = True
        members = component[frame.index :]  # an open object's index is its place
        del component[frame.index :]
        found = encode_group(members)
        for member in members:
            del opened[member.key]
            self._keep(member.key, member.value, found[id(member)])
        return found[id(frame)]

    def _keep(self, key: int, value: Any, encoding: bytes) -> bytes:
        self._encoded[key] = encoding
        self._kept.append(value)
        return encoding

    def take_apart(self, value: Any) -> bytes | Node:
        """The encoding of a value, or a node of what is inside it; the user's own rules come first."""
        hasher = self._hashers and _hasher(type(value), self._hashers)
        try:
            if not hasher:
                return self._reduce(value, self)
            counts = hasher(value)
        except (Refused, OSError, MemoryError):  # a hasher may read files, whose errors say enough
            raise
        except Exception as error:
            what = "made its hash= function fail" if hasher else "could not be taken apart"
            raise Refused(value, f"{what} ({type(error).__name__}: {error})") from error
        # What counts of a table may be a smaller table: the rule is not asked again about its own answer.
        if type(counts) is type(value):
            inner = scalar(counts) if type(counts) in SCALARS else self._reduce(counts, self)
            counts = inner if isinstance(inner, Node) else Node(inner, ())
        return Node(Tag.HASHER + field(2), [type(value), counts], name=lambda _i: "")


def _hasher(kind: type, hashers: Mapping[type, Callable[[Any], Any]]) -> Callable[[Any], Any] | None:
    for base in kind.__mro__:
        if base in hashers:
            return hashers[base]
    return None


def _step_name(frame: _Frame) -> str:
    return "" if frame.node.name is None else frame.node.name(len(frame.parts))
