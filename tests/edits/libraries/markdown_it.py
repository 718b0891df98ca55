"""Steps on top of markdown_it."""

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode


def page():
    return MarkdownIt().render("# Title\n\nA *few* **words**.\n\n- one\n- two\n")


def linked():
    return MarkdownIt().render("[a](http://x.y 'title') <http://z.w> ![i](p.png)")


def tables():
    return MarkdownIt("commonmark").enable("table").render("| a | b |\n|---|---|\n| 1 | 2 |\n")


def coded():
    return MarkdownIt().render("```py\nx = 1\n```\n\n    more\n\n`inline`")


def tokens():
    return [(token.type, token.tag) for token in MarkdownIt().parse("a\n\n> b\n")]


def tree():
    return SyntaxTreeNode(MarkdownIt().parse("a *b*")).pretty()


def plain():
    return MarkdownIt("zero").render("*not* emphasised")


def listed():
    return MarkdownIt().render("1. one\n2. two\n\n   more\n   - inner\n")


def raw():
    return MarkdownIt().render("<b>x</b> &amp; &copy; \\* \n\n<div>\n\nblock</div>")


def referenced():
    return MarkdownIt().render("[a][b]\n\n[b]: http://x.y")


def ruled():
    return MarkdownIt().render("one\n***\n\nTwo\n===\n\nline  \nbreak")


def struck():
    return MarkdownIt().enable("strikethrough").render("~~gone~~")
