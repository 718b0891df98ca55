"""Steps on top of lark."""

from lark import Lark, Token, Transformer, Tree, UnexpectedInput, Visitor, v_args

SUMS = """
    ?start: start "+" term -> add
          | term
    ?term: NUMBER -> number
         | "(" start ")"
    %import common.NUMBER
    %import common.WS
    %ignore WS
"""


def parsed():
    return Lark(SUMS, parser="lalr").parse("1 + (2 + 3)").pretty()


def early():
    return str(Lark(SUMS).parse("1+2"))


@v_args(inline=True)
class Calculate(Transformer):
    def number(self, text):
        return int(text)

    def add(self, left, right):
        return left + right


def calculated():
    return Calculate().transform(Lark(SUMS, parser="lalr").parse("1 + 2 + 3"))


def inlined():
    return Lark(SUMS, parser="lalr", transformer=Calculate()).parse("4+5")


def lexed():
    return [(token.type, str(token)) for token in Lark(SUMS, parser="lalr").lex("1 + 2")]


def failing():
    try:
        Lark(SUMS, parser="lalr").parse("1 + +")
    except UnexpectedInput as error:
        return type(error).__name__, error.column


def visited():
    found = []

    class Seen(Visitor):
        def number(self, tree):
            found.append(str(tree.children[0]))

    Seen().visit(Lark(SUMS).parse("7+8"))
    return found


def trees():
    tree = Tree("a", [Tree("b", [Token("X", "x")]), Token("Y", "y")])
    return [inner.data for inner in tree.iter_subtrees()], len(list(tree.scan_values(lambda v: True)))


def ambiguous():
    return str(Lark('start: "a" start? | "a" "a"', ambiguity="explicit").parse("aa"))


def listed():
    return str(Lark('start: "[" [WORD ("," WORD)*] "]"\n%import common.WORD').parse("[a,b]"))
