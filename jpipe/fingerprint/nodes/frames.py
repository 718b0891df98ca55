"""Tables of pandas as nodes: column by column, because equal tables may keep their columns in different blocks."""

from __future__ import annotations

import sys
from typing import Any

from jpipe.fingerprint.hashing import combine
from jpipe.fingerprint.nodes.graph import Graph, Node
from jpipe.system.ownership import is_kind


def fill_frame(graph: Graph, node: Node, obj: Any) -> bool:
    """Fill the node of a `pandas.DataFrame`; False for anything else."""
    pandas = sys.modules.get("pandas")
    frame: Any = getattr(pandas, "DataFrame", None)
    if frame is None or not is_kind(obj, frame):
        return False
    parts = [type(obj), obj.columns, obj.index, obj.attrs, obj.flags.allows_duplicate_labels]
    parts += [getattr(obj, name, None) for name in obj._metadata]
    parts += [_values(obj.iloc[:, position].array) for position in range(obj.shape[1])]
    edges = [(str(k), graph.value(part)) for k, part in enumerate(parts)]
    edges.append(("package", graph.package(graph.packages.version("pandas"))))
    node.put(combine("frame", str(len(parts))), edges, data=True)
    return True


def _values(array: Any) -> Any:
    """The array itself where pandas only wraps one of numpy."""
    return array.to_numpy() if type(array).__name__ == "NumpyExtensionArray" else array
