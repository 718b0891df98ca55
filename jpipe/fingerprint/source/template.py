"""The template of a definition: what it says, independent of its place and of the names it gives to things outside."""

from __future__ import annotations

from typing import Final, NamedTuple

from jpipe.fingerprint.source.scopes import Imported

Root = str | Imported
"""Where a reference starts: a name outside the definition, or an import inside it."""
Reference = tuple[Root, tuple[str, ...], bool]
"""`(root, attributes, only called)`: `np.linalg.norm(x)` is `("np", ("linalg", "norm"), True)`."""
EnvironmentRead = tuple[int, str | int]
"""`(reference to os.environ or os.getenv, variable)`; the variable is a name, or the reference that holds it."""
Blind = tuple[str, str, int]
"""`(BlindSpot, what is written there, line)`: a construct behind which code cannot be followed."""


class Trait:
    """What a definition does that makes more than its own text count, as bits of an int."""

    NONE: Final = 0
    NAMES: Final = 1
    """Reads at run time what things are called and in which module they are."""
    READS_SOURCE: Final = 2
    """Reads source text or code objects at run time."""
    DYNAMIC: Final = 4
    """Evaluates text, or looks names up in its own module."""
    SUBCLASSES: Final = 8
    """Enumerates subclasses."""
    COMPUTED_IMPORT: Final = 16
    """Imports a module under a computed name."""
    QUERIES: Final = 32
    """Calls something like `.sql(...)` that looks variables up by the names in a string."""
    DOCS: Final = 64
    """Reads docstrings at run time."""
    ANNOTATIONS: Final = 128
    """Reads annotations or signatures of functions at run time."""
    FIELDS: Final = 256
    """Reads annotations in classes at run time."""
    SAID: Final = NAMES | DOCS | ANNOTATIONS | FIELDS
    """What code may read of other code beside what it does."""
    READ: Final = SAID | READS_SOURCE


class Template(NamedTuple):
    """One definition or statement, digested. A plain tuple of plain values, so that `marshal` can keep it."""

    base: bytes
    """Digest of everything that always counts."""
    full: bytes
    """The same with docstring and annotations."""
    references: tuple[Reference, ...]
    """What it uses from outside, in order of first use; the text refers to them by position."""
    traits: int
    words: tuple[str, ...]
    """Identifiers inside its strings (only for QUERIES)."""
    docs: bytes
    """Digest of its docstring and those inside."""
    annotations: bytes
    """Digest of its annotations."""
    annotation_names: tuple[str, ...]
    """Names used in its annotations."""
    decorators: tuple[Reference | None, ...]
    """What decorates it; None for an expression that is not a dotted name."""
    environment: tuple[EnvironmentRead, ...]
    blind: tuple[Blind, ...]
    line: int
    end: int
    span: tuple[int, int, int, int] | None
    """`(line, column, end line, end column)` of a lambda's body, to tell lambdas on one line apart."""


class ClassTemplate(NamedTuple):
    """The parts of a class that are not methods."""

    head: Template
    """Decorators and keywords."""
    statements: tuple[tuple[str | None, Template], ...]
    """Class-level statements, with the name of a plain assignment."""
    method_lines: tuple[int, ...]
    decorators: tuple[Reference | None, ...]
    docstring: str
    bound: tuple[str, ...]
    line: int
    end: int
