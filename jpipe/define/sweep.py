"""A pipeline for each combination of parameter values, laid out as one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from jpipe.define.pipeline import Pipeline

__all__ = ["Sweep"]


class Sweep(Pipeline[[], list[Any]]):
    """A pipeline that is called once for each combination of the values of some parameters.

    It is one graph: what several combinations need alike is computed once, and all of them share the workers.

    Parameters
    ----------
    pipeline
        What is called.
    fixed
        The parameters that are the same for all.
    varied
        By parameter: its values, at least one.

    Attributes
    ----------
    combinations
        The varied parameters of each call, in the order of the results.
    """

    def __init__(
        self, pipeline: Pipeline[..., Any], fixed: Mapping[str, Any], varied: Mapping[str, Sequence[Any]]
    ) -> None:
        self.combinations = [dict(zip(varied, values, strict=True)) for values in itertools.product(*varied.values())]

        def sweep() -> list[Any]:
            return [pipeline.called_by_name({**fixed, **combination}) for combination in self.combinations]

        super().__init__(sweep)
        self._swept = pipeline
        self.name = pipeline.name

    @property
    def file(self) -> str:
        """The file that defines the pipeline."""
        return self._swept.file

    @property
    def line(self) -> int:
        """The line that defines it, from 1."""
        return self._swept.line
