"""Functions as nodes: the source's template where it is what runs, else bytecode, and all that they refer to."""

from __future__ import annotations

import builtins
import sys
import types
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import LEAVES, Constant, Edge, Effects, Graph, Node, Origin
from jpipe.fingerprint.nodes.hidden_variables import hidden_variables
from jpipe.fingerprint.nodes.import_effects import effect_files
from jpipe.fingerprint.nodes.references import (
    BUILTINS,
    MISSING,
    Namespace,
    cells_of,
    environment_edges,
    follow,
    global_value,
    note_state,
    resolve,
)
from jpipe.fingerprint.parts import REMEDIES, BlindSpot, PartKind, Unseen
from jpipe.fingerprint.source.bytecode import code_digest, names_in
from jpipe.fingerprint.source.template import Reference, Template, Trait
from jpipe.system.ownership import (
    STANDARD_MODULES,
    is_jpipe_module,
    is_kind,
    owns_class,
    owns_file,
    owns_function,
    top_level,
)


def fill_function(graph: Graph, node: Node, function: types.FunctionType, named: bool) -> None:
    """Fill the node of a function."""
    path = graph.files.written(function).co_filename
    if is_jpipe_module(function.__module__) and not owns_file(path):
        node.put(combine("jpipe", function.__qualname__))
    elif owns_file(path):
        _fill_own(graph, node, function, named, _running_template(graph, node, function))
    elif _is_made_by_exec(graph, function):
        _fill_own(graph, node, function, named, None)
    else:
        _fill_foreign(graph, node, function)


def _is_made_by_exec(graph: Graph, function: types.FunctionType) -> bool:
    """Made from text while a module of the user's (or no module at all) was running."""
    path, file = function.__code__.co_filename, function.__globals__.get("__file__")
    return path.startswith("<") and not path.startswith("<frozen") and (file is None or owns_file(file))


def template_of(graph: Graph, function: types.FunctionType) -> Template | None:
    """The template of a function's source; None when there is none, or when something else is running."""
    code = graph.files.written(function)
    parsed = graph.files.parsed(code.co_filename)
    if not graph.files.is_running(code):
        return None
    if code.co_name != "<lambda>":
        return parsed.function(code.co_firstlineno, code.co_name)
    candidates = parsed.lambdas(code.co_firstlineno)
    return candidates[0] if len(candidates) == 1 else _lambda_at(code, candidates)


def _running_template(graph: Graph, node: Node, function: types.FunctionType) -> Template | None:
    template = template_of(graph, function)
    if template is None:
        code = graph.files.written(function)
        spot = BlindSpot.NO_SOURCE if graph.files.is_running(code) else BlindSpot.OLD_CODE
        file = graph.files.relative(code.co_filename)
        node.blind = (Unseen(spot.value, function.__qualname__, file, code.co_firstlineno, REMEDIES[spot]),)
    return template


def _lambda_at(code: types.CodeType, candidates: list[Template]) -> Template | None:
    """The lambda of several on one line that a code object comes from, by the columns of its instructions.

    An instruction lies inside its own lambda and all lambdas around that: the innermost is taken for each, and the
    widest of those over all instructions.
    """
    best: Template | None = None
    for line, end_line, column, end_column in code.co_positions():
        if line is None or end_line is None or column is None or end_column is None or (column, end_column) == (0, 0):
            continue
        inside = [
            t for t in candidates if t.span and t.span[:2] <= (line, column) and (end_line, end_column) <= t.span[2:]
        ]
        if inside:
            innermost = min(inside, key=_extent)
            if best is None or _extent(innermost) > _extent(best):
                best = innermost
    return best


def _extent(template: Template) -> tuple[int, int]:
    line, column, end_line, end_column = template.span or (0, 0, 0, 0)
    return end_line - line, end_column - column


def _fill_own(graph: Graph, node: Node, function: types.FunctionType, named: bool, template: Template | None) -> None:
    code = graph.files.written(function)
    namespace = Namespace(function.__globals__, cells_of(function))
    edges = _own_edges(graph, function, named, namespace.cells)
    module, qualname = str(function.__module__), function.__qualname__
    if _found(module, qualname) is function:
        note_state(graph, module, qualname, function)
    name = f"{function.__module__}.{function.__qualname__}"
    if template is None:
        for outside in sorted(names_in(code) | set(namespace.cells)):
            edges += follow(graph, namespace, (outside, (), False), "n" + outside)
        node.origin = Origin(PartKind.HELPER, name, code.co_filename, code.co_firstlineno)
        node.put(combine("bytecode", code_digest(code)), edges)
        return
    node.origin = Origin(PartKind.HELPER, name, code.co_filename, template.line, ((template.line, template.end),))
    label = template.base
    if "<" not in function.__qualname__:  # a result may hold one without a name as bytecode
        node.kept = sum(edge[0] != "__class__" for edge in edges)  # that one, the last, is for the body alone
    if not all(is_harmless_decorator(graph, namespace, d) for d in template.decorators):
        label = template.full  # a decorator of someone else's may read docstring and annotations
        node.kept = None  # and compile the body
        for outside in template.annotation_names:
            edges += follow(graph, namespace, (outside, (), False), "annotation" + outside)
    edges += template_edges(graph, namespace, template)
    more, node.environment = environment_edges(graph, namespace, template)
    edges += more
    hidden = [name for name in hidden_variables(names_in(code)) if name not in node.environment]
    edges += [(f"environ {name}", graph.environment(name)) for name in hidden]
    node.environment += tuple(hidden)
    if effect_files(graph, code.co_filename, False):
        edges.append(("effects", graph.subject(Effects(code.co_filename, False))))
    node.traits |= template.traits & Trait.READ
    node.references = template.references
    node.blind = blind_spots(graph, namespace, template, code.co_filename)
    named_as = combine(str(function.__module__), function.__qualname__)
    said = {Trait.NAMES: named_as, Trait.DOCS: template.docs, Trait.ANNOTATIONS: template.annotations}
    node.put(combine("function", label), edges, said)


def _own_edges(graph: Graph, function: types.FunctionType, named: bool, cells: dict[str, Any]) -> list[Edge]:
    """What belongs to the function object itself: name, attributes, defaults, the class it is in."""
    edges: list[Edge] = [("name=" + function.__name__, graph.leaf(""))] if named else []
    edges += [("@" + name, graph.value(value)) for name, value in sorted(vars(function).items())]
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    # A wrapper may carry the defaults of what it wraps, and have fewer parameters: those without one are at the front.
    named_defaults = [*["…"] * (len(defaults) - len(arguments)), *arguments[max(len(arguments) - len(defaults), 0) :]]
    for k, (name, value) in enumerate(zip(named_defaults, defaults, strict=True)):
        edges += _default(graph, function, name, value, f"d{k}")
    for name, value in sorted((function.__kwdefaults__ or {}).items()):
        edges += _default(graph, function, name, value, "kd" + name)
    if "__class__" in cells:
        edges.append(("__class__", graph.value(cells["__class__"])))
    return edges


def _found(module: str, qualname: str) -> Any:
    """What a module has under a qualified name, without running code of the user's."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = vars(found).get(name) if is_kind(found, (types.ModuleType, type)) else None
    return getattr(found, "__func__", None) if is_kind(found, staticmethod) else found


def _default(graph: Graph, function: types.FunctionType, name: str, value: Any, label: str) -> list[Edge]:
    number = graph.value(value)
    if type(value) in LEAVES or not is_kind(value, (types.FunctionType, type, types.ModuleType)):
        graph.note_constant(number, lambda: _default_constant(function, name, value))
    return [(label, number)]


def _default_constant(function: types.FunctionType, name: str, value: Any) -> Constant:
    qualified = f"{function.__module__}.{function.__qualname__}({name}=)"
    return Constant(qualified, value, function.__code__.co_filename, function.__code__.co_firstlineno)


def template_edges(graph: Graph, namespace: Namespace, template: Template) -> list[Edge]:
    """Edges for all references of a template, and for what its traits bring in."""
    edges: list[Edge] = []
    builtin: list[str] = []
    traits = template.traits
    for k, reference in enumerate(template.references):
        root, attributes, _ = reference
        if isinstance(root, str) and root in BUILTINS and root not in namespace.globals and root not in namespace.cells:
            builtin.append(f"{k}:{root}.{'.'.join(attributes)}")
            continue
        edges += follow(graph, namespace, reference, str(k))
        if traits & Trait.SUBCLASSES:
            edges += _subclasses_of_reference(graph, namespace, reference)
        if root in namespace.cells and isinstance(root, str):
            _note_cell(graph, namespace, root, edges[-1][1])
    if builtin:
        edges.append(("|".join(builtin), graph.leaf("builtin")))
    if traits & Trait.DYNAMIC:
        module = sys.modules.get(namespace.globals.get("__name__", ""))
        if module is not None:
            edges.append(("own module", graph.value(module)))
    if traits & Trait.QUERIES:
        edges += _mentioned_values(graph, namespace, template)
    return edges


def _note_cell(graph: Graph, namespace: Namespace, name: str, number: int) -> None:
    value = namespace.cells[name]
    if not is_kind(value, (types.FunctionType, type, types.ModuleType)):
        origin = graph.nodes[graph.current].origin
        place = (origin.name, origin.file, origin.line) if origin else ("", None, None)
        graph.note_constant(number, lambda: Constant(f"{place[0]}[{name}]", value, place[1], place[2]))


def _mentioned_values(graph: Graph, namespace: Namespace, template: Template) -> list[Edge]:
    """Data globals named in the strings of a function that calls `.sql(...)` or `.query(...)`."""
    edges: list[Edge] = []
    for word in template.words:
        value = namespace.globals.get(word)
        if value is not None and not is_kind(value, (types.ModuleType, types.FunctionType, type)):
            edges += global_value(graph, value, (namespace.globals, word), "word" + word)
    return edges


def _subclasses_of_reference(graph: Graph, namespace: Namespace, reference: Reference) -> list[Edge]:
    root, attributes, _ = reference
    obj = namespace.find(root) if isinstance(root, str) else MISSING
    for attribute in attributes:
        if attribute != "__subclasses__":
            obj = getattr(obj, attribute, MISSING)
    return subclass_edges(graph, obj) if isinstance(obj, type) else []


def subclass_edges(graph: Graph, cls: type) -> list[Edge]:
    """The user's own classes below a class, for code that enumerates them."""
    found: list[type] = []
    stack = [cls]
    while stack:
        current = stack.pop()
        children: list[type] = [] if current is type else type.__subclasses__(current)
        for child in children:
            if child not in found:
                found.append(child)
                stack.append(child)
    found.sort(key=lambda c: (c.__module__, c.__qualname__))
    return [("subclass " + c.__qualname__, graph.value(c)) for c in found if owns_class(c)]


def is_harmless_decorator(graph: Graph, namespace: Namespace, decorator: Reference | None) -> bool:
    """True for decorators of the user's, the standard library's and jpipe's: what they do is visible."""
    if decorator is None:
        return False
    root, attributes, _ = decorator
    if not isinstance(root, str):
        return top_level(root[1]) in STANDARD_MODULES or is_jpipe_module(root[1])
    obj = namespace.find(root)
    if obj is MISSING:
        obj = getattr(builtins, root, None)
    for attribute in attributes:
        obj = getattr(obj, attribute, None) if obj is not None else None
    if obj is None:
        return True  # `@x.setter`: x was bound to something else since
    if is_kind(obj, types.FunctionType) and owns_function(obj):
        return True
    module = getattr(obj, "__module__", None) or type(obj).__module__
    if top_level(module) in STANDARD_MODULES or is_jpipe_module(module):
        return True
    return owns_class(obj if is_kind(obj, type) else type(obj))


def blind_spots(graph: Graph, namespace: Namespace, template: Template, path: str) -> tuple[Unseen, ...]:
    """What a template cannot see, with the remedy."""
    found = []
    for what, name, line in template.blind:
        spot = BlindSpot(what)
        if spot is BlindSpot.NATIVE_READ:
            root, _, name = name.partition(" ")
            if not _is_read_in_c(namespace, root, name.rpartition(".")[2]):
                continue
        changed = resolve(namespace, (name, (), False)) if spot is BlindSpot.GLOBAL_CHANGED else None
        if spot is BlindSpot.GLOBAL_CHANGED and not (
            is_kind(changed, (list, dict, set)) and name not in namespace.cells
        ):
            continue
        found.append(Unseen(what, name, graph.files.relative(path), line, REMEDIES[spot]))
    return tuple(found)


_READ_IN_C = frozenset(
    {"polars", "duckdb", "pyarrow", "h5py", "tables", "netCDF4", "xarray", "cv2", "rasterio", "fiona", "pyogrio"}
)
"""Packages that open files in compiled code, where nothing is told of it."""
_FUNCTIONS_THAT_READ_IN_C = {"pandas": frozenset({"read_parquet", "read_feather", "read_orc", "read_hdf"})}
"""Those of packages that open most files in Python."""


def _is_read_in_c(namespace: Namespace, root: str, called: str) -> bool:
    """Whether a name stands for something of such a package; `package:` is what an import inside the function names."""
    if root.endswith(":"):
        return _reads_in_c(top_level(root[:-1]), called)
    found = namespace.find(root)
    module = found.__name__ if is_kind(found, types.ModuleType) else getattr(found, "__module__", None)
    return isinstance(module, str) and _reads_in_c(top_level(module), called)


def _reads_in_c(package: str, called: str) -> bool:
    return package in _READ_IN_C or called in _FUNCTIONS_THAT_READ_IN_C.get(package, ())


def _fill_foreign(graph: Graph, node: Node, function: types.FunctionType) -> None:
    """An installed function: qualified name, version of its package, and the user's code that it holds."""
    module = str(function.__globals__.get("__name__") or "")
    registry = getattr(function, "registry", None)
    if registry is not None and is_kind(registry, types.MappingProxyType) and hasattr(function, "dispatch"):
        _fill_dispatcher(graph, node, registry)
        return
    edges: list[Edge] = [("c" + name, graph.value(value)) for name, value in cells_of(function).items()]
    wrapped = getattr(function, "__wrapped__", None)
    if wrapped is not None:
        edges.append(("wrapped", graph.value(wrapped)))
    edges.append(("package", graph.package(graph.packages.version(top_level(module)))))
    node.put(combine("foreign function", module, function.__code__.co_qualname), edges, data=True)


def _fill_dispatcher(graph: Graph, node: Node, registry: Any) -> None:
    """What `functools.singledispatch` made: which function answers for which class."""
    ordered = sorted(registry.items(), key=lambda item: (item[0].__module__, item[0].__qualname__))
    node.put(combine("singledispatch"), [(cls.__qualname__, graph.value(f)) for cls, f in ordered])
    default = registry[object]
    if is_kind(default, types.FunctionType) and owns_function(default):
        code = default.__code__
        text = "\n".join(f"{cls.__qualname__}: {getattr(f, '__qualname__', f)}" for cls, f in ordered)
        name = f"{default.__module__}.{default.__qualname__}"
        node.origin = Origin(PartKind.HELPER, name, code.co_filename, code.co_firstlineno, text=text)
