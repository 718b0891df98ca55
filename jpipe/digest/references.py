"""Code inside values: classes, functions, methods and modules, by name or by fingerprint."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

from jpipe.digest.canonical import Node, Tag, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from jpipe.digest.engine import Encoder

__all__ = [
    "reduce_bound",
    "reduce_builtin",
    "reduce_cached",
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
    if encoder.fingerprint.is_own(kind):
        return Tag.CODE + encoder.fingerprint.of_object(kind)
    names = (kind.__module__, kind.__qualname__, tuple(sorted(vars(kind))), tuple(getattr(kind, "_fields", ())))
    return Node(Tag.KIND + field(("class", names, len(kind.__bases__))), kind.__bases__)


def reduce_function(function: types.FunctionType, encoder: Encoder) -> bytes | Node:
    """A function written in Python: by name if it can be found by its name, else by what it says."""
    found = _named(function, encoder)
    if found is not None:
        return found
    if encoder.fingerprint.is_own(function):
        return Tag.CODE + encoder.fingerprint.of_object(function)
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


def reduce_step(step: Any, encoder: Encoder) -> bytes | Node:
    """A step or pipeline counts as the function that it marks."""
    function = step.__wrapped__
    if not isinstance(function, types.FunctionType):
        return Node(Tag.KIND + field("step"), [function])
    found = _named(function, encoder, step)
    return reduce_function(function, encoder) if found is None else found


def reduce_method(method: types.MethodType, _encoder: Encoder) -> Node:
    """A method bound to an object: both count."""
    return Node(
        Tag.KIND + field("method"),
        [method.__self__, method.__func__],
        name=lambda i: (".__self__", ".__func__")[i],
    )


def reduce_builtin(function: types.BuiltinFunctionType, encoder: Encoder) -> bytes | Node:
    """A function written in C, or such a method bound to an object."""
    owner = function.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return refer(function.__module__ or getattr(owner, "__name__", ""), function.__qualname__)
    # `random.random` is bound to a generator whose state changes with every call, but it is a function to its users,
    # and jpipe seeds that generator before each item.
    for module in ("random", "numpy.random"):
        if getattr(sys.modules.get(module), function.__name__, None) is function:
            return refer(module, function.__name__)
    return reduce_bound(function, encoder)


def reduce_bound(method: Any, _encoder: Encoder) -> Node:
    """A method written in C, bound to an object."""
    return Node(Tag.KIND + field(("bound", method.__name__)), [method.__self__], name=lambda _i: ".__self__")


def reduce_descriptor(descriptor: Any, _encoder: Encoder) -> Node:
    """A method or attribute of a class written in C: ``str.upper``."""
    return Node(Tag.KIND + field(("member", descriptor.__name__)), [descriptor.__objclass__])


def reduce_module(module: types.ModuleType, encoder: Encoder) -> bytes:
    """A module: the user's own by what it says, others by name."""
    if encoder.fingerprint.is_own(module):
        return Tag.CODE + encoder.fingerprint.of_object(module)
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


def _named(thing: Any, encoder: Encoder, holder: Any = None) -> bytes | None:
    """The reference of what is found under its own qualified name, else None."""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str) or module not in sys.modules:
        return None
    found = _look_up(sys.modules[module], name)
    if found is not thing and (holder is None or found is not holder):
        return None
    if encoder.fingerprint.is_own(sys.modules[module]):
        encoder.code.add((module, name))
    return refer(module, name)


def _look_up(module: types.ModuleType, name: str) -> Any:
    """What a qualified name stands for, without running descriptors or module-level ``__getattr__``."""
    found: Any = module
    for part in name.split("."):
        try:
            found = vars(found)[part]
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
