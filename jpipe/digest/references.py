"""Code inside values: classes, functions, methods and modules, by name or by fingerprint."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Node, Tag, field
from jpipe.system import main_module
from jpipe.system.ownership import is_step, owns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jpipe.digest.engine import Encoder

__all__ = [
    "reduce_bound",
    "reduce_builtin",
    "reduce_cached",
    "reduce_cached_property",
    "reduce_class",
    "reduce_code",
    "reduce_descriptor",
    "reduce_function",
    "reduce_method",
    "reduce_module",
    "reduce_step",
    "reduce_wrapped",
    "refer",
    "wrapper_rule",
]


def refer(module: str, name: str) -> bytes:
    """The encoding of something that is found under a name in a module."""
    return Tag.REFERENCE + field((module, name))


def reduce_class(kind: type, encoder: Encoder) -> bytes | Node:
    """A class: by name if it can be found by its name, else by what it says."""
    if kind.__module__ == "builtins":
        return refer("builtins", kind.__qualname__)
    found = _named(kind, encoder)
    if found is not None:
        return found
    if _is_own(kind, kind.__module__):
        return encoder.fingerprint(kind)
    names = (kind.__module__, kind.__qualname__, tuple(sorted(vars(kind))), tuple(getattr(kind, "_fields", ())))
    return Node(Tag.KIND + field(("class", names, len(kind.__bases__))), kind.__bases__)


def reduce_function(function: types.FunctionType, encoder: Encoder) -> bytes | Node:
    """A function written in Python: by name if it can be found by its name, else by what it says."""
    found = _named(function, encoder)
    if found is not None:
        return found
    # Where it was written, not what `functools.wraps` says: a wrapper of a package's is not the user's.
    if _is_own(function, function.__globals__.get("__name__")):
        return encoder.fingerprint(function)
    inside = [
        _code(function.__code__),
        [_cell(cell) for cell in function.__closure__ or ()],
        function.__defaults__,
        function.__kwdefaults__,
        function.__dict__,
    ]
    parts = ("code", "closure", "defaults", "kwdefaults", "dict")
    return Node(Tag.KIND + field(("function", function.__module__)), inside, name=lambda i: f".__{parts[i]}__")


def reduce_cached(function: Any, encoder: Encoder) -> bytes | Node:
    """A function wrapped by `functools.lru_cache`: what it remembers does not count."""
    found = _named(function, encoder)
    if found is not None:
        return found
    parameters = function.cache_parameters()
    return Node(
        Tag.KIND + field(("lru_cache", parameters["maxsize"], parameters["typed"])),
        [function.__wrapped__],
        name=lambda _i: ".__wrapped__",
    )


def reduce_wrapped(wrapper: Any, _encoder: Encoder) -> Node:
    """A class or static method, or a property, outside its class."""
    inside = [getattr(wrapper, name, None) for name in ("__func__", "fget", "fset", "fdel")]
    return Node(Tag.KIND + field(("wrapped", type(wrapper).__name__)), inside)


def reduce_cached_property(wrapper: Any, _encoder: Encoder) -> Node:
    """A property that remembers, outside its class; its lock and its docstring say nothing."""
    return Node(Tag.KIND + field("cached_property"), [wrapper.func])


def reduce_step(step: Any, _encoder: Encoder) -> Node:
    """A step or pipeline counts as the function that it marks."""
    return Node(b"", [step.function])


def reduce_method(method: types.MethodType, _encoder: Encoder) -> bytes | Node:
    """A method bound to an object: both count."""
    names = (".__self__", ".__func__")
    return _of_global_generator(method) or Node(
        Tag.KIND + field("method"), [method.__self__, method.__func__], name=names.__getitem__
    )


def reduce_builtin(function: types.BuiltinFunctionType, encoder: Encoder) -> bytes | Node:
    """A function written in C, or such a method bound to an object."""
    owner = function.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return refer(function.__module__ or getattr(owner, "__name__", ""), function.__qualname__)
    return _of_global_generator(function) or reduce_bound(function, encoder)


def _of_global_generator(method: Any) -> bytes | None:
    """The reference of ``random.random`` and its like, else None.

    They are bound to a generator whose state changes with every call, but are functions to their users, and jpipe
    seeds that generator before each item.
    """
    name = method.__name__
    for module in ("random", "numpy.random"):
        found = getattr(sys.modules.get(module), name, None)
        if found is method or (found == method and type(found) is types.MethodType):
            return refer(module, name)
    return None


def reduce_bound(method: Any, _encoder: Encoder) -> Node:
    """A method written in C, bound to an object."""
    return Node(Tag.KIND + field(("bound", method.__name__)), [method.__self__], name=lambda _i: ".__self__")


def reduce_descriptor(descriptor: Any, _encoder: Encoder) -> Node:
    """A method or attribute of a class written in C: ``str.upper``."""
    return Node(Tag.KIND + field(("member", descriptor.__name__)), [descriptor.__objclass__])


def reduce_module(module: types.ModuleType, encoder: Encoder) -> bytes:
    """A module: the user's own by what it says, others by name."""
    if owns(module):
        return encoder.fingerprint(module)
    return Tag.KIND + field(("module", module.__name__))


def reduce_code(code: types.CodeType, _encoder: Encoder) -> Node:
    """A code object by its instructions, names and constants, without its lines."""
    return Node(Tag.KIND + field("code"), [_code(code)])


def wrapper_rule(kind: type, base: type) -> Callable[[Any, Encoder], Node] | None:
    """The rule for functions that joblib remembers or numba compiles: their own state changes as they are used."""
    names = {"MemorizedFunc": "func", "NotMemorizedFunc": "func", "Dispatcher": "py_func", "CPUDispatcher": "py_func"}
    name = names.get(base.__name__)
    if name is None:
        return None
    return lambda value, _encoder: Node(Tag.KIND + field(("wrapper", kind.__name__)), [getattr(value, name)])


def _named(thing: Any, encoder: Encoder) -> bytes | None:
    """The reference of what is found under its own qualified name, else None."""
    if encoder.as_is:
        return None
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return None
    found = _look_up(main_module.names_of(module), name)
    if found is not thing and not (is_step(found) and found.function is thing):
        return None
    if _is_own(thing, module):
        encoder.note_code(module, name)
    return refer(main_module.known_as(module), name)


def _is_own(thing: Any, module: Any) -> bool:
    """Whether it is the user's code; so is all that was typed in, or run from a string, which has no file."""
    if module == "__main__" or owns(thing):
        return True
    return module in sys.modules and owns(sys.modules[module])


def _look_up(names: Mapping[str, Any], name: str) -> Any:
    """What a qualified name stands for, without running descriptors or module-level ``__getattr__``."""
    found: Any = None
    for part in name.split("."):
        try:
            found = (names if found is None else vars(found))[part]
        except (TypeError, KeyError):
            return None
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
    return found


def _code(code: types.CodeType) -> tuple[Any, ...]:
    constants = tuple(_code(item) if isinstance(item, types.CodeType) else item for item in code.co_consts)
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return code.co_code, shape, code.co_names, code.co_varnames, code.co_freevars, code.co_name, constants


def _cell(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # not filled yet
        return ()
