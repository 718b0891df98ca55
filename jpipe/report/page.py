"""The frame of a page: one file with its style and script in it, that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

from jpipe.render.styled_text import Line, Style
from jpipe.report.graph_svg import legible

__all__ = ["diff_html", "lines_html", "page", "scrolling"]

_CLASSES = {
    Style.GOOD: "jp-good",
    Style.DIM: "jp-dim",
    Style.WARN: "jp-warn",
    Style.BAD: "jp-bad",
    Style.NAME: "jp-name",
    Style.STRONG: "jp-strong",
}


def page(title: str, header: str, sections: Iterable[tuple[str, str, str]], *, script: str = "", head: str = "") -> str:
    """A page.

    Parameters
    ----------
    title
        As text.
    header
        What stands at the top, as HTML.
    sections
        (name of the anchor, heading, content as HTML); those without content are left out.
    script
        More script.
    head
        More of the head, as HTML.

    Notes
    -----
    The policy in its head allows what the file itself holds and nothing else, so that even what escaping missed could
    load nothing.
    """
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{anchor}">{heading}</a></li>' for anchor, heading, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{heading}</h2>{content}</section>'
        for anchor, heading, content in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{legible(title)}</title><style>{_file('page.css')}</style>{head}</head><body>"
        '<a class="jp-skip" href="#main">Skip to the content</a>'
        f'<header>{header}</header><nav aria-label="Sections"><ul>{links}'
        '<li><button id="theme" type="button" aria-label="Light or dark">☾</button></li>'
        '<li><button id="print" type="button">print</button></li></ul></nav>'
        f'<main id="main">{body}</main><footer>Made by jpipe. This file holds everything that it shows.</footer>'
        f"<script>{_file('page.js')}{script}</script></body></html>\n"
    )


def lines_html(lines: Iterable[Line]) -> str:
    """Lines as the terminal has them."""
    return f'<pre tabindex="0">{chr(10).join(map(_line, lines))}</pre>'


def diff_html(diff: str) -> str:
    """The lines of a unified diff, what came and went in colour and by sign."""
    shown = []
    for text in diff.splitlines():
        if text.startswith(("---", "+++", "@@")):
            continue
        kind = {"+": "jp-add", "-": "jp-del"}.get(text[:1])
        shown.append(f'<span class="{kind}">{legible(text)}</span>' if kind else legible(text))
    return f'<pre class="jp-diff" tabindex="0">{chr(10).join(shown)}</pre>'


def scrolling(inside: str, label: str) -> str:
    """What may be wider than the page, in a frame that can be scrolled by keyboard."""
    return f'<div class="jp-scroll" role="region" tabindex="0" aria-label="{legible(label)}">{inside}</div>'


def _line(one: Line) -> str:
    return "".join(
        f'<span class="{_CLASSES[style]}">{legible(text)}</span>' if style in _CLASSES else legible(text)
        for text, style in one
    )


def _file(name: str) -> str:
    return resources.files("jpipe.report").joinpath(name).read_text("utf-8")
