"""Classes as nodes, always whole: foreign code calls methods by names that the user's code never mentions."""

from __future__ import annotations

import dataclasses
import enum
import sys
import types
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.functions import is_harmless_decorator, subclass_edges, template_of
from jpipe.fingerprint.nodes.graph import Constant, Edge, Effects, Graph, Node, Origin
from jpipe.fingerprint.nodes.import_effects import effect_files
from jpipe.fingerprint.nodes.references import Namespace, follow
from jpipe.fingerprint.parts import PartKind
from jpipe.fingerprint.source.template import ClassTemplate, Template, Trait
from jpipe.system.ownership import (
    STANDARD_MODULES,
    is_kind,
    module_file,
    owns_class,
    owns_file,
    owns_function,
    top_level,
)

_NOT_CONTENT = frozenset(
    {"__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__firstlineno__", "__static_attributes__"}
    | {
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__parameters__",
        "__orig_bases__",
    }
    | {"__abstractmethods__", "_abc_impl", "__classdictcell__", "__type_params__", "__new__"}
    | {"__dataclass_fields__", "__match_args__", "__slotnames__"}  # copyreg writes __slotnames__ on first pickling
    | {"_member_map_", "_member_names_", "_value2member_map_", "_hashable_values_", "_unhashable_values_"}
    | {
        "_unhashable_values_map_",
        "_generate_next_value_",
        "_new_member_",
        "_use_args_",
        "_member_type_",
        "_value_repr_",
    }
)
_MADE_BY_NAMEDTUPLE = frozenset(
    {"_make", "_replace", "__repr__", "_asdict", "__getnewargs__", "_field_defaults", "_fields", "__replace__"}
)


def fill_class(graph: Graph, node: Node, cls: type) -> None:
    """Fill the node of a class: the user's own by everything in it, others by name and package."""
    if not owns_class(cls):
        module = str(cls.__module__ or "builtins")
        package = graph.package(graph.packages.version(top_level(module)))
        node.put(combine("foreign class", module, cls.__qualname__), [("package", package)])
        return
    _OwnClass(graph, node, cls).fill()


class _OwnClass:
    """One class of the user's on its way into the graph."""

    def __init__(self, graph: Graph, node: Node, cls: type) -> None:
        self.graph, self.node, self.cls = graph, node, cls
        self.namespace = Namespace(vars(sys.modules[cls.__module__]), {})
        self.path = class_file(graph, cls)
        self.source = _class_source(graph, cls, self.path)
        self.is_enum = issubclass(cls, enum.Enum)
        self.is_dataclass = "__dataclass_fields__" in cls.__dict__
        self.label = ["class", cls.__name__]
        self.edges: list[Edge] = []
        self.attributes: list[tuple[str, int]] = []
        self.foreign = self._read_by_foreign_code()

    def _read_by_foreign_code(self) -> bool:
        """Does installed code see the class (base, metaclass, decorator), so that docstring and names may matter?"""
        ancestry = (*self.cls.__mro__[1:], type(self.cls))
        if any(not owns_class(c) and top_level(c.__module__) not in STANDARD_MODULES for c in ancestry):
            return True
        decorators = self.source.decorators if self.source else ()
        return not all(is_harmless_decorator(self.graph, self.namespace, d) for d in decorators)

    def fill(self) -> None:
        graph, cls = self.graph, self.cls
        self.edges += [(f"base{k}", graph.value(base)) for k, base in enumerate(cls.__bases__)]
        if type(cls) is not type:
            self.edges.append(("metaclass", graph.value(type(cls))))
        skipped = set(_NOT_CONTENT)
        self._enum_members(skipped)
        self._tuple_fields(skipped)
        self._dataclass_fields(skipped)
        self._attributes(skipped)
        if self.path and owns_file(self.path) and effect_files(graph, self.path, False):
            self.edges.append(("effects", graph.subject(Effects(self.path, False))))
        name = f"{cls.__module__}.{cls.__qualname__}"
        span = (self.source.line, self.source.end) if self.source else None
        self.node.origin = Origin(PartKind.CLASS, name, self.path, span and span[0], (span,) if span else ())
        self.node.put(combine(*self.label), self.edges)
        graph.defer(self.finish)

    def _enum_members(self, skipped: set[str]) -> None:
        if not self.is_enum:
            return
        members: dict[str, Any] = self.cls.__members__  # type: ignore[attr-defined]
        self.edges.append(("members", self.graph.value([(name, member._value_) for name, member in members.items()])))
        skipped |= set(members)

    def _tuple_fields(self, skipped: set[str]) -> None:
        fields: object = getattr(self.cls, "_fields", None)
        if not issubclass(self.cls, tuple) or not isinstance(fields, tuple):
            if not self.is_enum:
                skipped.discard("__new__")
            return
        skipped |= _MADE_BY_NAMEDTUPLE | set(fields)
        self.edges.append(("fields", self.graph.value(fields)))
        self.edges.append(("defaults", self.graph.value(getattr(self.cls, "_field_defaults", None))))

    def _dataclass_fields(self, skipped: set[str]) -> None:
        if not self.is_dataclass:
            return
        for k, field in enumerate(self.cls.__dict__["__dataclass_fields__"].values()):
            # Of a ClassVar `kw_only` is MISSING, whose text is an address.
            kw_only = field.kw_only is True
            flags = (field.init, field.repr, field.hash, field.compare, kw_only, field._field_type.name)
            self.label.append(f"{field.name}:{'' if self.source else _type_name(field.type)}:{flags}")
            for which in ("default", "default_factory"):
                value = getattr(field, which)
                if value is not dataclasses.MISSING:
                    self.edges.append((f"{which}{k}", self.graph.value(value)))
            if field.metadata:
                self.edges.append((f"metadata{k}", self.graph.value(dict(field.metadata))))
        self.label.append(repr(self.cls.__dict__.get("__dataclass_params__")))
        skipped.add("__dataclass_params__")

    def _attributes(self, skipped: set[str]) -> None:
        subclasses = False
        for name, value in sorted(self.cls.__dict__.items()):
            if name in skipped or is_kind(value, (types.MemberDescriptorType, types.GetSetDescriptorType)):
                continue
            function = getattr(value, "__func__", value)
            own_function = is_kind(function, types.FunctionType) and self._is_written(name, function)
            if self.source is not None and self._is_generated(name, function, own_function):
                continue
            if own_function:
                template = template_of(self.graph, function)
                subclasses |= template is not None and bool(template.traits & Trait.SUBCLASSES)
            self.attributes.append((name, self.graph.value(value)))
            self._note_constant(name, value)
        if subclasses:
            self.edges += subclass_edges(self.graph, self.cls)

    def _is_written(self, name: str, function: types.FunctionType) -> bool:
        """Of the user's source; what a decorator made is not looked for there, which would take long."""
        if owns_function(function) or self.source is None or name not in self.source.bound:
            return owns_function(function)
        return owns_file(self.graph.files.written(function).co_filename)

    def _is_generated(self, name: str, function: Any, own: bool) -> bool:
        """Made by a decorator or base (dataclass, attrs, pydantic), so that the source says it all."""
        assert self.source is not None
        if own:
            return False
        if is_kind(function, types.FunctionType) and function.__code__.co_filename.startswith("<"):
            return True
        return self.foreign and name not in self.source.bound

    def _note_constant(self, name: str, value: Any) -> None:
        if hasattr(type(value), "__get__"):
            if not self._is_from_body(name, value):
                self.graph.variables[str(self.cls.__module__), f"{self.cls.__qualname__}.{name}"] = value
            return
        if is_kind(value, (type, types.ModuleType)):
            return
        self.graph.variables[str(self.cls.__module__), f"{self.cls.__qualname__}.{name}"] = value
        if self.source is None or name not in self.source.bound:
            return
        line = next((t.line for bound, t in self.source.statements if bound == name), self.source.line)
        qualified = f"{self.cls.__module__}.{self.cls.__qualname__}.{name}"
        self.graph.note_constant(self.attributes[-1][1], lambda: Constant(qualified, value, self.path, line))

    def _is_from_body(self, name: str, value: Any) -> bool:
        """Whether the class statement made a method or property, judged by its name, or code put it there."""
        functions = (value, *(getattr(value, part, None) for part in ("__func__", "fget", "fset", "fdel")))
        written = f"{self.cls.__qualname__}.{name}"
        return all(
            function.__qualname__ == written or not owns_function(function)
            for function in functions
            if is_kind(function, types.FunctionType)
        )

    def finish(self) -> None:
        """When all attributes are known: those that cannot be looked into count by the statement that makes them."""
        graph, node = self.graph, self.node
        visible = set()
        for name, number in self.attributes:
            if graph.has_opaque(number):
                node.edges.append((f".{name}opaque", graph.leaf("opaque")))
            else:
                node.edges.append((f".{name}", number))
                visible.add(name)
        node.hides = self.foreign
        first = len(node.edges)
        if self.source is not None:
            self._write_source(self.source, visible)
        node.imported = (first, len(node.edges))
        base = combine(*self.label)
        docstring = self.source.docstring if self.source else "" if self.is_dataclass else str(self.cls.__doc__ or "")
        annotations = [t.annotations for _, t in self.source.statements] if self.source else []
        names = combine(self.cls.__module__, self.cls.__qualname__)
        node.said = {Trait.NAMES: names, Trait.DOCS: combine(docstring), Trait.FIELDS: combine(*annotations)}
        node.label = combine(base, *node.said.values()) if self.foreign else base
        self._write_annotations()

    def _write_source(self, source: ClassTemplate, visible: set[str]) -> None:
        self._write(source.head)
        for name, template in source.statements:
            by_value = name is not None and (name in visible or (self.is_enum and name in self.cls.__members__))  # type: ignore[attr-defined]
            if not by_value:
                self._write(template)

    def _write_annotations(self) -> None:
        """What the annotations of fields lead to: it counts where others build on the class, else when read."""
        edges = self.node.edges if self.foreign else self.node.annotated
        for k, (_, template) in enumerate(self.source.statements if self.source else ()):
            for name in template.annotation_names:
                if name not in (self.source.bound if self.source else ()):
                    edges += follow(self.graph, self.namespace, (name, (), False), f"field{k}{name}")

    def _write(self, template: Template) -> None:
        self.label.append(template.base.hex())
        first = len(self.node.references)
        self.node.references += template.references
        for k, reference in enumerate(template.references, first):
            self.node.edges += follow(self.graph, self.namespace, reference, str(k))


def _type_name(annotation: object) -> str:
    return annotation if isinstance(annotation, str) else str(getattr(annotation, "__qualname__", annotation))


def class_file(graph: Graph, cls: type) -> str | None:
    """The file a class stands in; for one made at a prompt, where its methods stand."""
    module = sys.modules.get(cls.__module__)
    file = module_file(module) if module is not None else None
    if file:
        return file
    for value in cls.__dict__.values():
        if is_kind(value, types.FunctionType) and owns_function(value):
            return str(value.__code__.co_filename)
    return None


def _class_source(graph: Graph, cls: type, path: str | None) -> ClassTemplate | None:
    """The source of a class; of several under one name the one whose methods are live, else the last."""
    if not path or not owns_file(path):
        return None
    candidates = graph.files.parsed(path).classes(cls.__qualname__)
    if len(candidates) > 1:
        functions = [f for f in cls.__dict__.values() if is_kind(f, types.FunctionType)]
        lines = {graph.files.written(function).co_firstlineno for function in functions}
        for candidate in candidates:
            if lines & set(candidate.method_lines):
                return candidate
    return candidates[-1] if candidates else None
