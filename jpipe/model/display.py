"""How plans, runs, graphs, steps and pipelines show themselves in a notebook."""

from __future__ import annotations

from typing import Any

__all__ = ["Displayed", "shown"]


def shown(thing: Any) -> dict[str, str]:
    """A thing in the forms that a notebook chooses from: by the package front, which loads what draws them only now."""
    import jpipe

    forms: dict[str, str] = jpipe.api.display_forms(thing)
    return forms


class Displayed:
    """What shows itself in a notebook as text and as HTML without scripts."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return shown(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # IPython prints lists, dicts and tuples by itself, also of kinds that have a mime bundle.
        printer.text(shown(self)["text/plain"])
