"""Arguments of a call: their digests, and how they travel, once the results that they hold are known."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jpipe.define.layout import Call, Output, contains_output
from jpipe.digest import combine, complete, digest, digest_scalars
from jpipe.errors import Location, UndigestibleError
from jpipe.files import File, FileDigests

__all__ = ["Digester", "file_parameters", "is_plain", "returns_file"]

_OUTPUT = f"{Output.__module__}.{Output.__qualname__}"
_SMALL = (int, float, str, bytes, bool, type(None))
_PLAIN = frozenset({*_SMALL, Output, range})


class Digester:
    """Digests the arguments of the calls of one layout.

    Parameters
    ----------
    fingerprinter
        Tells the user's own code and digests it.
    files
        Digests files by content.
    of_output
        The digest of what an `Output` stands for.
    """

    def __init__(self, fingerprinter: Any, files: FileDigests, of_output: Callable[[Output], bytes]) -> None:
        self._fingerprinter = fingerprinter
        self._files = files
        self._of_output = of_output
        self._known: dict[tuple[int, bool, int], tuple[Any, bytes]] = {}

    def argument(self, call: Call, name: str, value: Any, is_file: bool = False) -> bytes:
        """The digest of one argument.

        Raises
        ------
        UndigestibleError
            Naming the step, the parameter and the place inside the value.
        """
        kind = type(value)
        if kind is Output:
            return self._of_output(value)
        if kind in _SMALL and not is_file:
            return self._literal(call, name, value)
        own = call.step.declared.hash
        place = id(value), is_file, id(own) if own else 0
        known = self._known.get(place)
        if known is not None and not contains_output(value):
            return known[1]
        found = self._nested(call, name, value, is_file)
        self._known[place] = value, found
        return found

    def written(self, call: Call, name: str, value: Any) -> bytes:
        """The digest of an argument, or of a part of one, that holds no result of a step."""
        return self.argument(call, name, value, name in file_parameters(call))

    def elements(self, call: Call, name: str, values: Sequence[Any], is_file: bool = False) -> list[bytes]:
        """The digests of the elements of a list that is mapped over."""
        found = None if is_file or call.step.declared.hash else digest_scalars(values)
        return found or [self.argument(call, name, value, is_file) for value in values]

    def _nested(self, call: Call, name: str, value: Any, is_file: bool) -> bytes:
        kind = type(value)
        if kind is Output:
            return self._of_output(value)
        if kind in (list, tuple) and contains_output(value):
            return combine(kind.__name__, [self._nested(call, name, item, is_file) for item in value])
        if kind is dict and contains_output(value):
            children = []
            for key, item in value.items():
                children += [self._literal(call, name, key), self._nested(call, name, item, is_file)]
            return combine("dict", children)
        if is_file and isinstance(value, (str, os.PathLike)) and not isinstance(value, File):
            value = File(value)
        return self._literal(call, name, value)

    def _literal(self, call: Call, name: str, value: Any) -> bytes:
        own = call.step.declared.hash
        hashers: Mapping[type, Any] = own if type(value) in _SMALL else {**own, File: self._file}
        try:
            found = digest(value, fingerprint=self._fingerprinter, hashers=hashers, describe=name)
            return complete(found.content, found.code, self._fingerprinter.of_reference)
        except UndigestibleError as error:
            raise _refusal(call, name, error) from error
        except FileNotFoundError as error:
            raise UndigestibleError(
                f"{call.step.name}({name}=…): there is no file {error.filename!r}",
                path=name,
                location=call.location,
                hint="make the file, or let a step make it and pass its result",
            ) from error

    def _file(self, file: File) -> tuple[str, str, bytes]:
        return "jpipe.File", file.path, self._files.content(os.path.abspath(file.path))


def _refusal(call: Call, name: str, error: UndigestibleError) -> UndigestibleError:
    if error.type_name == _OUTPUT:
        return UndigestibleError(
            f"{call.step.name}({name}=…): the result of a step stands at {error.path}, where it is not filled in",
            path=error.path,
            type_name=error.type_name,
            location=call.location,
            hint="put results into lists, tuples and dicts of Python's own kinds",
        )
    what = f"<{error.type_name}> at {error.path}" if error.type_name else error.message
    return UndigestibleError(
        f"{call.step.name}({name}=…): cannot digest {what}",
        path=error.path,
        type_name=error.type_name,
        location=Location(call.location.file, call.location.line),
        hint=error.hint
        or f'say what matters of it: @step(hash={{Type: function}}), or leave it out: @step(ignore=["{name}"])',
    )


def file_parameters(call: Call) -> frozenset[str]:
    """The parameters of a call that are annotated as `File`."""
    return _file_names(call.step.function)


def is_plain(call: Call) -> bool:
    """Whether all that a call takes are results of steps, numbers and texts, or lists of them: what no code digests."""
    return not (call.step.declared.hash or file_parameters(call)) and all(map(_is_plain, call.arguments.values()))


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return kind in _PLAIN or (kind in (list, tuple) and _PLAIN.issuperset(map(type, value)))


def returns_file(function: Any) -> bool:
    """Whether a function is annotated to return a `File`."""
    return _means_file((getattr(function, "__annotations__", None) or {}).get("return"))


_annotated: dict[Any, frozenset[str]] = {}


def _file_names(function: Any) -> frozenset[str]:
    try:
        known = _annotated.get(function)
    except TypeError:
        return frozenset()
    if known is None:
        hints = getattr(function, "__annotations__", None) or {}
        known = frozenset(name for name, annotation in hints.items() if _means_file(annotation))
        _annotated[function] = known
    return known


def _means_file(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.rpartition(".")[2].strip("\"'") == "File"
    return annotation is File
