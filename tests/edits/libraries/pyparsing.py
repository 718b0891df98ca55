"""Steps on top of pyparsing."""

import pyparsing as pp


def words():
    return pp.OneOrMore(pp.Word(pp.alphas)).parse_string("one two three").as_list()


def named():
    parser = pp.Word(pp.alphas)("name") + pp.Suppress("=") + pp.Word(pp.nums)("value")
    return parser.parse_string("x = 5").as_dict()


def numbers():
    return pp.DelimitedList(pp.common.integer).parse_string("1, 2, 3").as_list()


def calculated():
    term = pp.common.integer
    parser = pp.infix_notation(term, [("*", 2, pp.opAssoc.LEFT), ("+", 2, pp.opAssoc.LEFT)])
    return parser.parse_string("1+2*3").as_list()


def quoted():
    return pp.QuotedString('"', esc_char="\\").parse_string('"a \\" b"').as_list()


def choices():
    parser = pp.one_of("a ab abc") | pp.Literal("z")
    return [parser.parse_string(text)[0] for text in ("abc", "z")]


def failing():
    try:
        pp.Word(pp.nums).parse_string("abc")
    except pp.ParseException as error:
        return str(error)


def nested():
    return pp.nested_expr().parse_string("(a (b c) d)").as_list()


def acted():
    parser = pp.Word(pp.nums).set_parse_action(lambda tokens: int(tokens[0]) * 2)
    return parser.parse_string("21")[0]


def scanned():
    return [(str(tokens[0]), start) for tokens, start, _ in pp.Word(pp.nums).scan_string("a 1 b 22")]


def recursive():
    expression = pp.Forward()
    expression <<= pp.Word(pp.nums) | ("(" + expression + ")")
    return expression.parse_string("((7))").as_list()


def matched():
    return pp.Regex(r"(?P<year>\d+)-(?P<month>\d+)").parse_string("2024-05").as_dict()
