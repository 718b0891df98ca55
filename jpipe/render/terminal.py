"""Where text for people goes: one stream, with what it can show (colours, glyphs, width).

Light on purpose: a run that has nothing to do prints its one line through this module and loads neither rich nor tqdm.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from jpipe.render.styled_text import Line, Style, line, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Paper", "wants_color"]

_SGR = {
    Style.GOOD: "32",
    Style.DIM: "2",
    Style.WARN: "33",
    Style.BAD: "31",
    Style.NAME: "36",
    Style.STRONG: "1",
}
_ASCII = {
    "✓": "ok", "✗": "FAIL", "·": "-", "↻": "run", "=": "=", "❱": ">", "│": "|", "…": "...", "←": "<-", "→": "->",
    "×": "x", "├": "|", "╰": "`", "─": "-", "┴": "+", "┼": "+", "╯": "'", "╭": ".", "╮": ".", "┬": "+", "┤": "|",
    "≈": "~", "—": "-", "–": "-", "’": "'", "“": '"', "”": '"', "−": "-",
}  # fmt: skip
_WIDEST = 120
_HANGING = 6
"""Blanks before what is left of a broken line."""


class Paper:
    """Writes `Line` objects to a stream.

    Parameters
    ----------
    stream
        Where to; default `sys.stderr`.
    color
        ``"auto"``, ``"always"`` or ``"never"``.
    environment
        Default `os.environ`.

    Attributes
    ----------
    color, unicode, is_terminal : bool
        What the stream shows.
    """

    def __init__(
        self, stream: TextIO | None = None, color: str = "auto", environment: Mapping[str, str] | None = None
    ) -> None:
        environment = os.environ if environment is None else environment
        self.stream = sys.stderr if stream is None else stream
        self.is_terminal = _is_terminal(self.stream)
        self.is_dumb = environment.get("TERM") == "dumb"
        self.color = wants_color(color, self.is_terminal, environment)
        self.encoding = getattr(self.stream, "encoding", None) or "utf-8"
        self.unicode = _shows(self.encoding, "✓↻│╰×…")
        if (self.color or self.is_terminal) and os.name == "nt":
            _enable_windows_escapes()

    @property
    def width(self) -> int:
        """Columns of the terminal now; 80 where there is none."""
        return max(20, min(_columns() if self.is_terminal else 80, _WIDEST))

    def write(self, *lines: Line) -> None:
        """Write whole lines, and let them be seen at once."""
        self.stream.write(self.rendered(lines))
        self.stream.flush()

    def rendered(self, lines: Iterable[Line]) -> str:
        """Lines as the stream can show them; in a terminal, long ones are broken between words."""
        if not self.is_terminal:
            return "".join(self.text(one) + "\n" for one in lines)
        width = _columns()
        return "".join(self.text(part) + "\n" for one in lines for part in wrap(one, width, _HANGING))

    def text(self, one: Line) -> str:
        """A line as the stream can show it, without its end."""
        one = tuple((self._shown(text), style) for text, style in one)
        if not self.color:
            return "".join(text for text, _ in one).rstrip()
        return "".join(_colored(text, style) for text, style in one).rstrip()

    def _shown(self, text: str) -> str:
        """`text` with what the stream's encoding lacks replaced by ASCII twins, else by escapes."""
        if text.isascii():
            return text
        if not self.unicode:
            text = "".join(_ASCII.get(character, character) for character in text)
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)


def _columns() -> int:
    import shutil  # which imports compressors; without a terminal nobody asks

    return shutil.get_terminal_size((80, 24)).columns


def wants_color(choice: str, is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether to colour: the flag decides, then NO_COLOR, then FORCE_COLOR, then whether it is a terminal."""
    if choice in ("always", "never"):
        return choice == "always"
    if environment.get("NO_COLOR"):
        return False
    forced = environment.get("FORCE_COLOR")
    if forced:
        return forced.lower() not in ("0", "false")
    return is_terminal and environment.get("TERM") != "dumb"


def wrap(one: Line, width: int, indent: int) -> list[Line]:
    """Break a line between words so that each part is at most `width` columns; a longer word stays whole."""
    if sum(width_of(text) for text, _ in one) <= width:
        return [one]
    done: list[Line] = []
    current: list[tuple[str, Style]] = []
    used = 0
    for word, style in _words(one):
        if used + width_of(word.rstrip()) > width and used > indent:
            done.append(tuple(current))
            current, used = [(" " * indent, Style.PLAIN)], indent
        if current and current[-1][1] is style:
            current[-1] = (current[-1][0] + word, style)
        else:
            current.append((word, style))
        used += width_of(word)
    return [*done, line(*current)]


def _words(one: Line) -> Iterable[tuple[str, Style]]:
    """Pieces cut after their blanks; a command stays in one piece, so that it can be copied."""
    for text, style in one:
        if style is Style.STRONG:
            yield text, style
            continue
        start = 0
        for index, character in enumerate(text):
            if character == " " and text[index + 1 : index + 2] not in ("", " "):
                yield text[start : index + 1], style
                start = index + 1
        yield text[start:], style


def _colored(text: str, style: Style) -> str:
    if style is Style.CODE:
        from jpipe.render.highlight import highlighted

        return highlighted(text)
    code = _SGR.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text


def _shows(encoding: str, glyphs: str) -> bool:
    try:
        glyphs.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _enable_windows_escapes() -> None:
    """Old consoles show escape codes as they are; colorama comes with click and tqdm on Windows."""
    try:
        import colorama  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return
    colorama.just_fix_windows_console()
