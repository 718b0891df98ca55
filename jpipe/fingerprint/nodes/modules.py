"""The nodes that are not objects: whole modules, definitions of opaque globals, effects, names followed in source."""

from __future__ import annotations

import types

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import (
    Definition,
    Effects,
    Graph,
    ImportClosure,
    Node,
    Origin,
    OwnEffects,
    Stated,
    StaticModule,
    StaticName,
    WholeProject,
)
from jpipe.fingerprint.nodes.import_effects import effect_files, effect_numbers, held_names, namespace_of
from jpipe.fingerprint.nodes.references import Namespace, follow, global_value
from jpipe.fingerprint.nodes.static_imports import follow_import, follow_static
from jpipe.fingerprint.parts import PartKind
from jpipe.fingerprint.source.outline import FromImport, Statement
from jpipe.fingerprint.source.scopes import IMPORT
from jpipe.fingerprint.source.template import Template, Trait
from jpipe.system.ownership import is_jpipe_module, is_kind, module_file, owns_file, owns_module


def fill_module(graph: Graph, node: Node, module: types.ModuleType) -> None:
    """A module used as a value: the user's own by all that is in it, others by their package."""
    if is_jpipe_module(module.__name__):
        node.put(combine("jpipe"))
        return
    if not owns_module(module):
        node.put(
            combine("foreign module", module.__name__),
            [("package", graph.package(graph.packages.module_version(module)))],
        )
        return
    node.put(combine("module"))
    names = []
    for name in sorted(vars(module)):
        obj = vars(module)[name]
        if name.startswith("__") and name != "__getattr__":
            continue
        if is_kind(obj, types.ModuleType) and owns_module(obj):
            continue
        names.append(name)
        node.edges += global_value(graph, obj, (vars(module), name), name)
    node.origin = Origin(PartKind.MODULE, module.__name__, module_file(module), 1, text="\n".join(names))


def fill_definition(graph: Graph, node: Node, subject: Definition) -> None:
    """The statements that bind or mention a name, through `from x import y` to where they stand."""
    path, name = subject.path, subject.name
    node.put(combine("definition"))
    if not owns_file(path):
        return
    parsed = graph.files.parsed(path)
    namespace = Namespace(namespace_of(graph, path), {})
    spans = []
    for k, mention in enumerate(_mentions(graph, path, name)):
        if isinstance(mention, int):
            template = parsed.statement(mention)
            spans.append((template.line, template.end))
            starts = [len(node.edges)]
            node.edges.append((f"s{k}:{template.base.hex()}", graph.leaf("")))
            for c, reference in enumerate(template.references):
                starts.append(len(node.edges))
                if reference[0] != name:
                    node.edges += follow(graph, namespace, reference, f"s{k}.{c}")
            node.statements.append(_stated(node, path, mention, template, starts))
            continue
        module, original, level = mention
        target = graph.files.import_target(path, module, level)
        if target is not None:
            node.edges.append((f"import{k}", graph.subject(Definition(target, original))))
    node.imported = (0, len(node.edges))
    qualified = f"{namespace.globals.get('__name__', '')}.{name}"
    node.origin = Origin(PartKind.CONSTANT, qualified, path, parsed.outline.lines.get(name), tuple(spans))


def _stated(node: Node, path: str, number: int, template: Template, starts: list[int]) -> Stated:
    return Stated(path, number, tuple(root for root, _, _ in template.references), (*starts, len(node.edges)))


def _mentions(graph: Graph, path: str, name: str) -> list[int | tuple[str, str, int]]:
    """What binds or mentions a name at the top level of a file.

    Numbers of statements, and `(module, original name, level)` of imports.
    """
    found: list[int | tuple[str, str, int]] = []
    parsed = graph.files.parsed(path)
    for entry in parsed.top:
        if isinstance(entry, FromImport):
            found += [(entry.module, original, entry.level) for bound, original in entry.names if bound == name]
            if ("*", "*") in entry.names and name not in parsed.bound and graph.files.provides(path, name):
                found.append((entry.module, name, entry.level))
        elif isinstance(entry, Statement) and name in entry.names:
            found.append(entry.number)
    return found


def fill_static_name(graph: Graph, node: Node, subject: StaticName) -> None:
    """A name of a module that is followed in source: every top-level statement about it."""
    node.put(combine("static name"))
    parsed = graph.files.parsed(subject.path)
    line = parsed.outline.lines.get(subject.name)
    spans = []
    for k, mention in enumerate(_mentions(graph, subject.path, subject.name)):
        if isinstance(mention, int):
            template = parsed.statement(mention)
            spans.append((template.line, template.end))
            _static_statement(graph, node, subject.path, mention, k)
        else:
            module, original, level = mention
            node.edges += follow_import(graph, subject.path, (IMPORT, module, original, level), (), f"import{k}")
    name = f"{graph.files.module_name(subject.path)}.{subject.name}"
    node.origin = Origin(PartKind.HELPER, name, subject.path, line, tuple(spans))


def fill_static_module(graph: Graph, node: Node, subject: StaticModule) -> None:
    """All statements of a module that is followed in source."""
    node.put(combine("static module"))
    parsed = graph.files.parsed(subject.path)
    name = graph.files.module_name(subject.path)
    node.origin = Origin(PartKind.MODULE, name, subject.path, 1, text="\n".join(parsed.bound))
    for k, entry in enumerate(parsed.top):
        if isinstance(entry, Statement):
            _static_statement(graph, node, subject.path, entry.number, k)


def _static_statement(graph: Graph, node: Node, path: str, number: int, k: int) -> None:
    template = graph.files.parsed(path).statement(number)
    starts = [len(node.edges)]
    node.edges.append((f"s{k}:{template.base.hex()}", graph.leaf("")))
    node.traits |= template.traits & Trait.READ
    for c, (root, attributes, _) in enumerate(template.references):
        starts.append(len(node.edges))
        node.edges += follow_static(graph, path, root, attributes, f"s{k}.{c}")
    node.statements.append(_stated(node, path, number, template, starts))
    names = tuple(v for _, v in template.environment if isinstance(v, str))
    node.environment += names
    node.edges += [(f"environ {name}", graph.environment(name)) for name in names]


def fill_effects(graph: Graph, node: Node, subject: Effects) -> None:
    """What importing a file changes: the effects of every file this runs, in order."""
    files = effect_files(graph, subject.path, subject.static)
    node.put(combine("effects"), [(f"m{k}", graph.subject(OwnEffects(f, subject.static))) for k, f in enumerate(files)])


def fill_own_effects(graph: Graph, node: Node, subject: OwnEffects) -> None:
    """The top-level statements of one file that change something, with what they use."""
    path = subject.path
    namespace = Namespace(namespace_of(graph, path), {})
    static = subject.static or not namespace.globals
    parsed = graph.files.parsed(path)
    node.put(combine("own effects"))
    spans = []
    for k, number in enumerate(effect_numbers(graph, path, subject.static)):
        template = parsed.statement(parsed.effects[number][1])
        spans.append((template.line, template.end))
        node.edges.append((f"e{k}:{template.base.hex()}", graph.leaf("")))
        for c, reference in enumerate(template.references):
            if static:
                node.edges += follow_static(graph, path, reference[0], reference[1], f"e{k}.{c}")
            else:
                node.edges += follow(graph, namespace, reference, f"e{k}.{c}")
    node.imported = (0, len(node.edges))
    held = [] if static else held_names(graph, path)
    node.edges += [("held " + held_name, graph.value(namespace.globals[held_name])) for held_name in held]
    name = f"top level of {graph.files.relative(path)}"
    node.origin = Origin(PartKind.EFFECTS, name, path, spans[0][0] if spans else 1, tuple(spans))


def fill_import_closure(graph: Graph, node: Node, subject: ImportClosure) -> None:
    """Files by their content without comments and docstrings, and the packages that they import."""
    files, packages = graph.closures.of(subject.path)
    edges = [(graph.files.relative(path), _file_node(graph, path)) for path in files]
    edges += [(top, graph.package(graph.packages.version(top))) for top in packages]
    name = graph.files.module_name(subject.path)
    node.origin = Origin(PartKind.MODULE, f"all that importing {name} runs", subject.path, 1, text="")
    node.put(combine("import closure"), edges)


def _file_node(graph: Graph, path: str) -> int:
    number = graph.leaf("file", graph.files.parsed(path).digest, graph.files.relative(path))
    graph.nodes[number].origin = Origin(PartKind.MODULE, graph.files.module_name(path), path, 1)
    return number


def fill_whole_project(graph: Graph, node: Node, subject: WholeProject) -> None:
    """Every file of the project by its content without comments."""
    edges = [(graph.files.relative(path), _file_node(graph, path)) for path in graph.files.project_files()]
    node.origin = Origin(PartKind.MODULE, "every file of the project", text="")
    node.put(combine("project"), edges)
