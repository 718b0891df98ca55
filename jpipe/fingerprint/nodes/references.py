"""References followed through live namespaces: closure cells, globals, modules of the user's own, builtins."""

from __future__ import annotations

import builtins
import os
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

from jpipe.fingerprint.nodes.graph import LEAVES, Constant, Definition, Edge, Graph
from jpipe.fingerprint.nodes.import_effects import namespace_of
from jpipe.fingerprint.nodes.static_imports import follow_import
from jpipe.fingerprint.source.outline import FromImport
from jpipe.fingerprint.source.template import Reference, Template
from jpipe.system.ownership import is_jpipe_module, is_kind, owns_class, owns_file, owns_function, owns_module

_BY_PYTHON = {"builtins", "io", "_io", "_sitebuiltins"}
BUILTINS = frozenset(
    name
    for name, value in vars(builtins).items()
    if name.startswith("__") or not {getattr(value, "__module__", "builtins"), type(value).__module__} - _BY_PYTHON
)
"""Not what other code has put beside them before: gettext's `_`."""
_ABOUT_THE_MODULE = frozenset(
    {"__name__", "__package__", "__path__", "__spec__", "__loader__", "__cached__", "__builtins__", "__debug__"}
)
_ENVIRONMENT = tuple(
    o for o in (os.environ, getattr(os, "environb", None), os.getenv, getattr(os, "getenvb", None)) if o is not None
)


class Namespace(NamedTuple):
    """Where the names of a function or module are looked up."""

    globals: dict[str, Any]
    cells: dict[str, Any]

    @property
    def file(self) -> str:
        """The file of the module."""
        file = self.globals.get("__file__")
        return file if isinstance(file, str) else ""

    def find(self, name: str) -> Any:
        """The value of a name, or MISSING."""
        if name in self.cells:
            return self.cells[name]
        return self.globals.get(name, MISSING)


MISSING = object()


def written(reference: Reference) -> str:
    """A reference as it stands in the source."""
    root, attributes, _ = reference
    return ".".join([root if isinstance(root, str) else root[2] or root[1], *attributes])


def follow(graph: Graph, namespace: Namespace, reference: Reference, label: str) -> list[Edge]:
    """Edges for one reference of a template."""
    root, attributes, called = reference
    if not isinstance(root, str):
        return follow_import(graph, namespace.file, root, attributes, label)
    place = None
    if root in namespace.cells:
        obj = namespace.cells[root]
    elif root in _ABOUT_THE_MODULE:
        return [(f"{label}module:{root}.{'.'.join(attributes)}", graph.leaf("module"))]
    elif root == "__file__":
        return [(f"{label}file:{graph.files.relative(namespace.file)}", graph.leaf("file"))]
    elif root in namespace.globals:
        obj = namespace.globals[root]
        place = (namespace.globals, root)
    elif root in BUILTINS:
        return [(f"{label}builtin:{root}.{'.'.join(attributes)}", graph.leaf("builtin"))]
    elif hasattr(builtins, root):  # put there by code: gettext's `_`
        obj, place = getattr(builtins, root), (vars(builtins), root)
    else:
        return [(f"{label}undefined:{root}", graph.leaf("undefined"))]
    return _follow_attributes(graph, obj, place, attributes, called, label)


Place = tuple[dict[str, Any], str]
"""`(globals of a module, name in it)`."""


def _follow_attributes(
    graph: Graph, obj: Any, place: Place | None, attributes: tuple[str, ...], called: bool, label: str
) -> list[Edge]:
    """Walk through modules of the user's; the first thing that is not a module is what the reference means."""
    rest = list(attributes)
    while rest and is_kind(obj, types.ModuleType):
        if not owns_module(obj):
            return _in_foreign_module(graph, obj, tuple(rest), label)
        members = vars(obj)
        if rest[0] in members:
            place = (members, rest[0])
            obj = members[rest.pop(0)]
        elif "__getattr__" in members:
            return [(f"{label}getattr:{'.'.join(rest)}", graph.value(obj))]
        else:
            return [(f"{label}undefined:{'.'.join(rest)}", graph.leaf("undefined"))]
    suffix = "." + ".".join(rest) if rest else ""
    if type(obj) is types.FunctionType:
        if place is not None and obj.__qualname__ != place[1]:
            module = str(place[0].get("__name__", ""))
            graph.variables[module, place[1]] = obj
            note_state(graph, module, place[1], obj)
        edges = [(label + suffix, graph.value(obj, named=not called or bool(rest)))]
        if rest and rest[0] in vars(obj):
            edges.append((label + "attribute", graph.value(vars(obj)[rest[0]])))
        return edges
    return global_value(graph, obj, place, label + suffix)


def cells_of(function: types.FunctionType) -> dict[str, Any]:
    """The closure variables of a function that have a value."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return found


def note_state(graph: Graph, module: str, name: str, function: types.FunctionType) -> None:
    """Note what a function holds beside its code, which the user's code may set anew."""
    for attribute in ("__defaults__", "__kwdefaults__"):
        if (value := getattr(function, attribute)) is not None:
            graph.variables[module, f"{name}.{attribute}"] = value
    cells = cells_of(function)
    for k, variable in enumerate(function.__code__.co_freevars):
        value = cells.get(variable)
        if variable in cells and not is_kind(value, (types.FunctionType, type, types.ModuleType)):
            graph.variables[module, f"{name}.__closure__.{k}.cell_contents"] = value


def _in_foreign_module(graph: Graph, module: types.ModuleType, attributes: tuple[str, ...], label: str) -> list[Edge]:
    """A name in an installed module: the package counts, and what the user's code may have put there."""
    if is_jpipe_module(module.__name__):
        return [(f"{label}jpipe:{'.'.join(attributes)}", graph.leaf("jpipe"))]
    obj: Any = module
    holder, name = module, ""
    for attribute in attributes:
        if not is_kind(obj, types.ModuleType):
            break
        obj, holder, name = vars(obj).get(attribute), obj, attribute
    if obj is not None and type(obj) in LEAVES and module is not sys:
        graph.variables[holder.__name__, name] = obj
        return [(label, graph.value(obj))]  # `math.pi` is what `from math import pi` binds
    edges = [(f"{label}x:{module.__name__}.{'.'.join(attributes)}", graph.value(module))]
    if is_kind(obj, types.FunctionType) and owns_function(obj):
        graph.variables[holder.__name__, name] = obj
        edges.append((label + "patched", graph.value(obj)))
    return edges


def global_value(graph: Graph, obj: Any, place: Place | None, label: str) -> list[Edge]:
    """An edge to a value; when it turns out to be opaque, also to the statements that build it."""
    number = graph.value(obj)
    if place is None:
        return [(label, number)]
    module, name = place
    file = module.get("__file__")
    if _is_constant(graph, obj, name):
        graph.variables[str(module.get("__name__", "")), name] = obj
        graph.note_constant(number, lambda: _constant(graph, module, file, name, obj))
    if file and type(obj) not in LEAVES and owns_file(file):
        source = graph.nodes[graph.current]

        def add_definition() -> None:
            if graph.has_opaque(number):
                source.edges.append((label + "definition", graph.subject(Definition(file, name))))

        graph.defer(add_definition)
    return [(label, number)]


def _is_constant(graph: Graph, obj: Any, name: str) -> bool:
    """A value is one, and a class or function of an installed package under a name that the user gave it."""
    if is_kind(obj, types.ModuleType):
        return False
    if is_kind(obj, types.FunctionType):
        return not owns_function(obj) and name != obj.__name__
    return not is_kind(obj, type) or (not owns_class(obj) and name != obj.__name__)


def _constant(graph: Graph, module: dict[str, Any], file: Any, name: str, obj: Any) -> Constant:
    if isinstance(file, str) and owns_file(file):
        module, file, name = _where_made(graph, module, file, name, obj)
        line = graph.files.parsed(file).outline.lines.get(name)
        return Constant(f"{module.get('__name__', '')}.{name}", obj, file, line)
    return Constant(f"{module.get('__name__', '')}.{name}", obj, None, None)


def _where_made(
    graph: Graph, module: dict[str, Any], file: str, name: str, obj: Any
) -> tuple[dict[str, Any], str, str]:
    """The module, file and name under which a value that was imported by name is assigned."""
    seen = set()
    while (file, name) not in seen:
        seen.add((file, name))
        for target, original in _imported_from(graph, file, name):
            namespace = namespace_of(graph, target)
            if namespace.get(original, MISSING) is obj:
                module, file, name = namespace, target, original
                break
    return module, file, name


def _imported_from(graph: Graph, file: str, name: str) -> Iterator[tuple[str, str]]:
    """The user's files that a name may be imported from, each with its name there."""
    for entry in graph.files.parsed(file).top:
        if not isinstance(entry, FromImport):
            continue
        for bound, original in entry.names:
            target = graph.files.import_target(file, entry.module, entry.level) if bound in (name, "*") else None
            if target is not None and os.path.exists(target):
                yield target, name if original == "*" else original


def environment_edges(graph: Graph, namespace: Namespace, template: Template) -> tuple[list[Edge], tuple[str, ...]]:
    """Edges to the environment variables that a template reads under a constant name, and their names."""
    names = []
    for number, variable in template.environment:
        if not _is_environment(namespace, template.references[number]):
            continue
        name = variable if isinstance(variable, str) else resolve(namespace, template.references[variable])
        if isinstance(name, str) and name not in names:
            names.append(name)
    return [(f"environ {name}", graph.environment(name)) for name in names], tuple(names)


def _is_environment(namespace: Namespace, reference: Reference) -> bool:
    root, attributes, _ = reference
    if not isinstance(root, str):
        dotted = (root[1], *([root[2]] if root[2] else []), *attributes)
        return dotted[:2] in (("os", "environ"), ("os", "getenv"), ("os", "environb"), ("os", "getenvb"))
    for length in range(len(attributes) + 1):
        found = resolve(namespace, (root, attributes[:length], False))
        if any(found is o for o in _ENVIRONMENT):
            return True
    return False


def resolve(namespace: Namespace, reference: Reference) -> Any:
    """The object behind a reference that leads through modules only, or MISSING."""
    root, attributes, _ = reference
    obj = namespace.find(root) if isinstance(root, str) else MISSING
    for attribute in attributes:
        if not is_kind(obj, types.ModuleType):
            return MISSING
        obj = vars(obj).get(attribute, MISSING)
    return obj
