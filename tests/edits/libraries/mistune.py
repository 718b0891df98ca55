"""Steps on top of mistune."""

import mistune
from mistune.plugins.table import table

TEXT = "# Title\n\nA *few* **words** with `code` and [a link](http://x.y).\n\n- one\n- two\n\n> quoted\n"


def page():
    return mistune.html(TEXT)


def tree():
    return mistune.create_markdown(renderer="ast")("a *b* c")


def tables():
    return mistune.create_markdown(plugins=[table])("| a | b |\n|---|---|\n| 1 | 2 |\n")


def struck():
    return mistune.create_markdown(plugins=["strikethrough", "footnotes"])("~~gone~~ and[^1]\n\n[^1]: a note\n")


def coded():
    return mistune.html("```python\nprint(1)\n```\n\n    indented\n")


def escaped():
    return mistune.escape("<a & 'b'>"), mistune.create_markdown(escape=True)("<b>bold</b>")


def numbered():
    return mistune.html("1. one\n2. two\n   - inner\n")


def images():
    return mistune.html("![alt](pic.png 'title') <http://auto.link>")


def broken():
    return mistune.create_markdown(hard_wrap=True)("one\ntwo  \nthree")


def ruled():
    return mistune.html("one\n\n---\n\nTwo\n===\n")


def custom():
    class Renderer(mistune.HTMLRenderer):
        def heading(self, text, level, **attrs):
            return f"[{level}:{text}]"

    return mistune.create_markdown(renderer=Renderer())("## Two\n\ntext")


def references():
    return mistune.html("[a][b] and ![c][b]\n\n[b]: http://x.y 'title'\n")
