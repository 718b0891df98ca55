"""The results of a sweep as a table: a row for each combination of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jpipe.model.value_summary import outcome_of
from jpipe.render.styled_text import Line, columns, dim, line

__all__ = ["sweep_lines"]


def sweep_lines(combinations: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> list[Line]:
    """A row for each combination, with what it gave; a dict of results has a column for each of its names."""
    if values and all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        names = [str(name) for name in values[0]]
        results = [[outcome_of(one) for one in value.values()] for value in values]
    else:
        names, results = ["result"], [[outcome_of(value)] for value in values]
    head = tuple(line(dim(name)) for name in (*combinations[0], *names))
    rows = [
        tuple(line(text) for text in (*map(outcome_of, combination.values()), *result))
        for combination, result in zip(combinations, results, strict=True)
    ]
    return columns([head, *rows])
