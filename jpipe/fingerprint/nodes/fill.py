"""Fills the nodes of a graph until none is left: one filler for each kind of thing."""

from __future__ import annotations

import gc
import types
from collections.abc import Callable
from typing import Any

from jpipe.fingerprint.nodes.classes import fill_class
from jpipe.fingerprint.nodes.functions import fill_function
from jpipe.fingerprint.nodes.graph import (
    Definition,
    Effects,
    Graph,
    ImportClosure,
    Node,
    OwnEffects,
    StaticModule,
    StaticName,
    WholeProject,
)
from jpipe.fingerprint.nodes.modules import (
    fill_definition,
    fill_effects,
    fill_import_closure,
    fill_module,
    fill_own_effects,
    fill_static_module,
    fill_static_name,
    fill_whole_project,
)
from jpipe.fingerprint.nodes.values import fill_value

_BY_SUBJECT: dict[type, Callable[[Graph, Node, Any], None]] = {
    Definition: fill_definition,
    StaticName: fill_static_name,
    StaticModule: fill_static_module,
    Effects: fill_effects,
    OwnEffects: fill_own_effects,
    ImportClosure: fill_import_closure,
    WholeProject: fill_whole_project,
}


def complete(graph: Graph) -> None:
    """Fill every node that was asked for, and those that this asks for in turn.

    Syntax trees are millions of objects that all stay: looking for garbage among them would take most of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        _fill_all(graph)
        graph.files.drop_trees()
    finally:
        if collecting:
            gc.enable()


def _fill_all(graph: Graph) -> None:
    while graph.queue or graph.deferred:
        while graph.queue:
            number, what = graph.queue.pop()
            graph.current = number
            node = graph.nodes[number]
            fill = _BY_SUBJECT.get(type(what))
            if fill is not None:
                fill(graph, node, what)
            else:
                _fill_object(graph, node, *what)
        waiting, graph.deferred = graph.deferred, []
        for graph.current, decide in waiting:
            decide()


def _fill_object(graph: Graph, node: Node, obj: Any, named: bool) -> None:
    # by type(), never isinstance: proxies lie about their class
    if type(obj) is types.FunctionType:
        fill_function(graph, node, obj, named)
    elif issubclass(type(obj), types.ModuleType):
        fill_module(graph, node, obj)
    elif issubclass(type(obj), type):
        fill_class(graph, node, obj)
    else:
        fill_value(graph, node, obj, named)
