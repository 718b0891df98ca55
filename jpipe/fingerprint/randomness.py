"""Does code reach random numbers? Then equal calls of it are replicates, not one call.

Judged from the names that functions of the user's use and from what these stand for. In doubt the answer is yes: that
costs no more than computing equal calls apart.
"""

from __future__ import annotations

import re
import types
from typing import Any

from jpipe.fingerprint.nodes.graph import Graph, Node, StaticModule, StaticName
from jpipe.fingerprint.nodes.references import cells_of
from jpipe.fingerprint.source.bytecode import names_in
from jpipe.system.ownership import is_kind, owns_function

__all__ = ["reaches_randomness"]

_MODULES = ("random", "_random", "secrets", "uuid", "numpy.random", "scipy.stats", "torch", "tensorflow", "faker")
_NAMES = frozenset(
    {"random", "rand", "randn", "randint", "randrange", "random_sample", "ranf", "normal", "standard_normal", "uniform"}
    | {"gauss", "normalvariate", "shuffle", "choice", "choices", "sample", "permutation", "permuted", "rvs", "urandom"}
    | {"default_rng", "RandomState", "SystemRandom", "Random", "SeedSequence", "getrandbits", "randbytes", "getrandom"}
    | {"uuid1", "uuid4", "token_hex", "token_bytes", "token_urlsafe", "randbelow", "mkdtemp", "mkstemp", "seed"}
    | {"random_state", "rng", "frac", "bootstrap", "resample", "train_test_split", "poisson", "binomial", "multinomial"}
)
"""Names under which random numbers are drawn; methods of generators and tables among them."""
_PARAMETERS = frozenset({"random_state", "seed", "rng", "generator", "prng", "random"})
"""What a function of an installed package that draws random numbers calls where they come from."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def reaches_randomness(graph: Graph, root: int) -> bool:
    """Whether random numbers may be drawn by what a node stands for."""
    static = graph.static_nodes()
    seen, stack = {root}, [root]
    while stack:
        number = stack.pop()
        node = graph.nodes[number]
        if number in static and _mentions(graph, node, static[number]):
            return True
        if number in graph.objects and draws(graph.objects[number]):
            return True
        for _, target in node.edges:
            if target not in seen:
                seen.add(target)
                stack.append(target)
    return False


def draws(thing: Any) -> bool:
    """Whether a function, class or object itself, by its own names, may draw random numbers."""
    if is_kind(thing, types.FunctionType) and owns_function(thing):
        return _names_random(thing)
    return not is_kind(thing, types.ModuleType) and _is_source(thing)


def _names_random(function: types.FunctionType) -> bool:
    names = names_in(function.__code__)
    if not names.isdisjoint(_NAMES):
        return True
    known = {**function.__globals__, **cells_of(function)}
    return any(_leads_to_source(known[name], names) for name in names if name in known)


def _leads_to_source(thing: Any, names: set[str]) -> bool:
    """Whether a global is a source of random numbers, or a module that has one under a name that is used beside it."""
    if not is_kind(thing, types.ModuleType):
        return _is_source(thing)
    if _in_modules(thing.__name__):
        return True
    members = vars(thing)
    inner = [members[name] for name in names if name in members]
    return any(_is_source(one) for one in inner if not is_kind(one, types.ModuleType)) or any(
        _is_source(vars(one)[name])
        for one in inner
        if is_kind(one, types.ModuleType)
        for name in names
        if name in vars(one) and not is_kind(vars(one)[name], types.ModuleType)
    )


def _is_source(thing: Any) -> bool:
    """Whether an installed function, class or object draws random numbers, by where it is or what it asks for."""
    kind = thing if is_kind(thing, type) else type(thing)
    is_function = is_kind(thing, (types.FunctionType, types.BuiltinFunctionType, types.BuiltinMethodType))
    if _in_modules(str((getattr(thing, "__module__", None) if is_function else None) or kind.__module__)):
        return True
    if is_function and _is_source_method(thing):
        return True
    code = getattr(thing if is_function else getattr(kind, "__init__", None), "__code__", None)
    return isinstance(code, types.CodeType) and not _PARAMETERS.isdisjoint(code.co_varnames[: _arguments(code)])


def _is_source_method(thing: Any) -> bool:
    """`random.random`, `numpy.random.rand`: methods of a hidden generator."""
    holder = getattr(thing, "__self__", None)
    return holder is not None and not is_kind(holder, types.ModuleType) and _in_modules(str(type(holder).__module__))


def _arguments(code: types.CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


def _in_modules(name: str) -> bool:
    return any(name == module or name.startswith(module + ".") for module in _MODULES)


def _mentions(graph: Graph, node: Node, subject: StaticName | StaticModule) -> bool:
    """Whether code that is followed in source has a name of random numbers in it."""
    everything = ((1, 1 << 30),)
    spans = node.origin.spans if node.origin is not None and isinstance(subject, StaticName) else everything
    parsed = graph.files.parsed(subject.path)
    return any(not _NAMES.isdisjoint(_WORD.findall(parsed.text_of(*span))) for span in spans)
