"""The words for what a fingerprint consists of, and for what it cannot see."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple


class PartKind(str, Enum):
    """What an ingredient of a fingerprint is."""

    CODE = "code"
    """The step's own function."""
    HELPER = "helper"
    CLASS = "class"
    CONSTANT = "constant"
    """A value outside the step: a global, a default, a closure variable."""
    PACKAGE = "package"
    ENVIRONMENT = "environment"
    EFFECTS = "effects"
    """Statements that change something when a module is imported."""
    MODULE = "module"
    FILE = "file"
    VERSION = "version"
    """The `version=` that stands in for the code."""


Code = tuple[str, str]
"""`(file relative to the project, qualified name)` of a code object of the user's."""


class Executed(NamedTuple):
    """The user's own code that ran.

    Attributes
    ----------
    items : frozenset of (str, str)
        While the items ran.
    earlier : frozenset of (str, str)
        Before them in the main process: while modules were imported and the pipeline was laid out.
    left : frozenset of (str, str)
        In items of other steps, before or beside them in the same process, where something of that was left behind.
    held : frozenset of (str, str)
        The same, where only objects that a library was given lead to what was left.
    """

    items: frozenset[Code]
    earlier: frozenset[Code] = frozenset()
    left: frozenset[Code] = frozenset()
    held: frozenset[Code] = frozenset()


class Pruned(NamedTuple):
    """A fingerprint without the bodies that did not run.

    Attributes
    ----------
    digest : bytes
        32 bytes.
    has_more : bool
        Whether code ran that the fingerprint does not lead to: then it is in this digest alone.
    """

    digest: bytes
    has_more: bool


class Part(NamedTuple):
    """One ingredient of a fingerprint, for "why".

    Attributes
    ----------
    kind : PartKind
    name : str
        As the user would write it: ``metrics.balanced``, ``pipeline.RATE``, ``scikit-learn``, ``environ HOME``.
    file : str or None
        Relative to the project root when below it.
    line : int or None
        Counted from 1.
    digest : bytes
        Of this part alone, without the parts that it reaches.
    text : str or None
        Source text, the representation of a value (up to 200 characters), or a version.
    via : str or None
        Name of the part from which it is reached; None for the step itself.
    uses : tuple of (str, str)
        What the names in it refer to: name as written, name of the part. Tells rebinding from editing.
    """

    kind: PartKind
    name: str
    file: str | None
    line: int | None
    digest: bytes
    text: str | None
    via: str | None
    uses: tuple[tuple[str, str], ...] = ()


UNDEFINED, BUILTIN = "undefined", "builtin"
"""What a name in `Part.uses` means that leads to no part."""


class BlindSpot(str, Enum):
    """Constructs behind which code or state cannot be followed."""

    COMPUTED_ATTRIBUTE = "attribute under a computed name"
    EVALUATED = "evaluated text"
    COMPUTED_IMPORT = "import under a computed name"
    COMPUTED_VARIABLE = "environment variable under a computed name"
    GLOBAL_ASSIGNED = "global that the code assigns"
    GLOBAL_CHANGED = "global container that the code changes"
    NATIVE_READ = "files that compiled code opens"
    OTHER_PROCESS = "processes that start anew"
    NO_SOURCE = "function without source"
    OLD_CODE = "code in memory differs from its source"


class Unseen(NamedTuple):
    """Something that a fingerprint cannot see, said aloud.

    Attributes
    ----------
    what : str
        The kind of construct.
    name : str
        What is written there.
    file, line : str or None, int or None
        Where it stands.
    remedy : str
        What to do when it matters.
    """

    what: str
    name: str
    file: str | None
    line: int | None
    remedy: str


_STATE_REMEDY = (
    "pass the value as an argument and return it: what one step leaves in a global, another run may not find"
)
REMEDIES = {
    BlindSpot.COMPUTED_ATTRIBUTE: "name what it can reach with @step(depends=...)",
    BlindSpot.EVALUATED: "name what the text uses with @step(depends=...), or use @step(version=...)",
    BlindSpot.COMPUTED_IMPORT: "what an item imports so counts for it; name more with @step(depends=...)",
    BlindSpot.COMPUTED_VARIABLE: "name the variables with @step(env=...)",
    BlindSpot.GLOBAL_ASSIGNED: _STATE_REMEDY,
    BlindSpot.GLOBAL_CHANGED: _STATE_REMEDY,
    BlindSpot.NATIVE_READ: "give the file as an argument: jpipe.File(path)",
    BlindSpot.OTHER_PROCESS: "what they read is not seen: give files as arguments, jpipe.File(path), or use jpipe.map",
    BlindSpot.NO_SOURCE: "its bytecode counts; keep the function in a file, or use @step(version=...)",
    BlindSpot.OLD_CODE: "what is in memory counts; run again (delete the __pycache__ folder when it stays)",
}


class Description(NamedTuple):
    """What a fingerprint says beyond its digest."""

    parts: tuple[Part, ...]
    unseen: tuple[Unseen, ...]
    environment: tuple[str, ...]


class Fingerprint:
    """The digest of all code and constants that a function can reach; parts are worked out when asked for.

    Attributes
    ----------
    digest : bytes
        32 bytes.
    pruned : callable
        The digest without the bodies that did not run, from what ran; None where nothing can be left out.
    """

    __slots__ = ("_describe", "_description", "_draws", "_is_random", "digest", "pruned")

    def __init__(
        self,
        digest: bytes,
        describe: Callable[[], Description],
        draws: Callable[[], bool] = lambda: False,
        pruned: Callable[[Executed], Pruned | None] = lambda executed: None,
    ) -> None:
        self.digest = digest
        self._describe = describe
        self._description: Description | None = None
        self._draws = draws
        self._is_random: bool | None = None
        self.pruned = pruned

    @property
    def is_random(self) -> bool:
        """Whether the code may draw random numbers: then equal calls of it are replicates."""
        if self._is_random is None:
            self._is_random = self._draws()
        return self._is_random

    @property
    def description(self) -> Description:
        """Parts, blind spots and environment variables together."""
        if self._description is None:
            self._description = self._describe()
        return self._description

    @property
    def parts(self) -> tuple[Part, ...]:
        """The ingredients, the step itself first, then in the order in which they are reached."""
        return self.description.parts

    @property
    def unseen(self) -> tuple[Unseen, ...]:
        """What could not be followed, by file and line."""
        return self.description.unseen

    @property
    def environment(self) -> tuple[str, ...]:
        """Names of the environment variables that reached code reads under a constant name."""
        return self.description.environment

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Fingerprint({self.digest.hex()[:16]}…)"
