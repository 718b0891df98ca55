"""Texts in Mermaid's language."""

from __future__ import annotations

__all__ = ["mermaid_label", "printable"]


def mermaid_label(text: str) -> str:
    """What stands between the quotes of a node."""
    return printable(text).replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def printable(text: str) -> str:
    """`text` with what a terminal would act on as escapes that can be read: a name can hold anything."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in text)
