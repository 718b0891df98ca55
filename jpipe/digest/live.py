"""Values as constants of a program: as they are in this process, with the code inside left to the caller."""

from __future__ import annotations

from typing import Any

from jpipe.digest.canonical import SCALARS, Node, Refused
from jpipe.digest.engine import Encoder
from jpipe.digest.kinds import reduce
from jpipe.digest.plain import CONTAINERS
from jpipe.digest.references import refer

__all__ = ["Live"]


class Live(Encoder):
    """Takes constants apart.

    A value that travels is what `pickle` makes of it; a constant is what its code finds in memory. So attributes count
    as they are, whatever ``__getstate__`` says; classes, functions and modules are given back as what is inside; and
    what would stand for itself under a name in the user's code is refused, for the name says nothing of its content.
    """

    as_is = True

    def __init__(self) -> None:
        super().__init__(reduce, None, {}, {})

    def of_class(self, kind: type) -> Any:
        """The class itself, whose code the caller looks into."""
        return refer("builtins", kind.__qualname__) if kind.__module__ == "builtins" else kind

    def note_code(self, module: str, name: str) -> None:
        """Refuse what would be known by a name alone."""
        raise Refused(f"{module}.{name}", "is known by its name alone")

    def look_into(self, value: Any) -> bytes | Node:
        """The encoding of a value that holds nothing but plain data, else a node of what is inside it.

        Raises
        ------
        Refused
            If it cannot be looked into.
        """
        if type(value) in SCALARS or (type(value) in CONTAINERS and _is_plain(value)):
            encoding = self.encode(value)
            self.forget()
            return encoding
        if type(value) is Node:
            return value
        try:
            return self.take_apart(value)
        except (OSError, MemoryError) as error:
            raise Refused(value, f"could not be taken apart ({type(error).__name__})") from error


def _is_plain(value: Any) -> bool:
    """Whether there is nothing but plain data inside, however deep, looked at with the speed of C."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        container = stack.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        for group in (container.keys(), container.values()) if type(container) is dict else (container,):
            kinds = set(map(type, group)) - SCALARS
            if not kinds <= CONTAINERS:
                return False
            if kinds:
                stack.extend(item for item in group if type(item) in CONTAINERS)
    return True
